package event

// The event types in use, each by its request; its ends have the same type with another state. The payload messages
// are in proto/, one file per service.
const (
	// What clients ask.
	FilesPut    = "files:put:v1:requested"    // FilesPutRequest, FilesPutProgress, FilesPutReply
	FilesGet    = "files:get:v1:requested"    // FilesGetRequest, FilesGetHeader, FilesGetReply
	FilesDelete = "files:delete:v1:requested" // FilesDeleteRequest, FilesDeleteReply
	FilesList   = "files:list:v1:requested"   // FilesListRequest, FilesListReply
	FilesStat   = "files:stat:v1:requested"   // FilesStatRequest, FilesStatReply
	FilesVerify = "files:verify:v1:requested" // FilesVerifyRequest, FilesVerifyProgress, FilesVerifyReply
	NodeStatus  = "node:status:v1:requested"  // NodeStatusRequest, NodeStatusReply
	FilesSet    = "files:set:v1:requested"    // FilesSetRequest, FilesSetReply
	NodesList   = "nodes:list:v1:requested"   // NodesListRequest, NodesListReply
	NodesInvite = "nodes:invite:v1:requested" // NodesInviteRequest, NodesInviteReply
	NodesSet    = "nodes:set:v1:requested"    // NodesSetRequest, NodesSetReply
	RepairsList = "repairs:list:v1:requested" // RepairsListRequest, RepairsListReply

	UploadsOpen   = "uploads:open:v1:requested"   // UploadsOpenRequest, UploadsOpenReply
	UploadsList   = "uploads:list:v1:requested"   // UploadsListRequest, UploadsListReply
	UploadsStat   = "uploads:stat:v1:requested"   // UploadsStatRequest, UploadsStatReply
	UploadsClaim  = "uploads:claim:v1:requested"  // UploadsClaimRequest, UploadsClaimReply
	UploadsSend   = "uploads:send:v1:requested"   // UploadsSendRequest, UploadsSendReply
	UploadsCommit = "uploads:commit:v1:requested" // UploadsCommitRequest, FilesPutProgress, FilesPutReply
	UploadsDrop   = "uploads:drop:v1:requested"   // UploadsDropRequest, UploadsDropReply

	UsersPut       = "users:put:v1:requested"       // UsersPutRequest, UsersPutReply
	UsersList      = "users:list:v1:requested"      // UsersListRequest, UsersListReply
	UsersShow      = "users:show:v1:requested"      // UsersShowRequest, UsersShowReply
	UsersEnrol     = "users:enrol:v1:requested"     // UsersEnrolRequest, UsersEnrolReply
	DevicesList    = "devices:list:v1:requested"    // DevicesListRequest, DevicesListReply
	DevicesRevoke  = "devices:revoke:v1:requested"  // DevicesRevokeRequest, DevicesRevokeReply
	GroupsPut      = "groups:put:v1:requested"      // GroupsPutRequest, GroupsPutReply
	GroupsList     = "groups:list:v1:requested"     // GroupsListRequest, GroupsListReply
	TokensIssue    = "tokens:issue:v1:requested"    // TokensIssueRequest, TokensIssueReply
	TokensList     = "tokens:list:v1:requested"     // TokensListRequest, TokensListReply
	TokensRevoke   = "tokens:revoke:v1:requested"   // TokensRevokeRequest, TokensRevokeReply
	GrantsPut      = "grants:put:v1:requested"      // GrantsPutRequest, GrantsPutReply
	GrantsList     = "grants:list:v1:requested"     // GrantsListRequest, GrantsListReply
	GrantsRemove   = "grants:remove:v1:requested"   // GrantsRemoveRequest, GrantsRemoveReply
	LedgerTransfer = "ledger:transfer:v1:requested" // LedgerTransferRequest, LedgerTransferReply
	LedgerList     = "ledger:list:v1:requested"     // LedgerListRequest, LedgerListReply

	// What the host tells its kernel.
	NodeBoot        = "node:boot:v1:requested"        // NodeBoot; no reply
	NodeTick        = "node:tick:v1:requested"        // no payload, no reply
	NodeDrain       = "node:drain:v1:requested"       // no payload; completed when no work is left
	IdentitySession = "identity:session:v1:requested" // Session; no reply
	IdentityRevoke  = "identity:revoke:v1:requested"  // Revocation; no reply
	IdentityLogin   = "identity:login:v1:requested"   // LoginRequest, LoginReply
	IdentityRefresh = "identity:refresh:v1:requested" // RefreshRequest, LoginReply
	RequestGone     = "request:gone:v1:completed"     // RequestGone, unasked
	WorkerExit      = "worker:exit:v1:completed"      // WorkerExit, unasked
	MeshServe       = "mesh:serve:v1:requested"       // MeshServeRequest, MeshServeReply
	MeshPeer        = "mesh:peer:v1:completed"        // MeshPeer, unasked
	KernelLost      = "node:kernel:v1:failed"         // Error; the host's answer to requests whose kernel stopped

	// What the kernel asks of its host.
	IdentityForget    = "identity:forget:v1:requested"        // Forget; no reply
	StreamRead        = "stream:read:v1:requested"            // StreamReadRequest, StreamReadReply
	StreamWrite       = "stream:write:v1:requested"           // StreamWriteRequest, StreamWriteReply
	BufferFill        = "buffer:fill:v1:requested"            // BufferFill; no reply
	BufferRelease     = "buffer:release:v1:requested"         // BufferRelease; no reply
	WorkerStart       = "worker:start:v1:requested"           // WorkerStartRequest, WorkerStartReply
	WorkerStop        = "worker:stop:v1:requested"            // WorkerStopRequest, WorkerStopReply
	WorkerCall        = "worker:call:v1:requested"            // WorkerCallRequest, WorkerCallReply
	ContentWrite      = "content:write_chunk:v1:requested"    // ContentWriteRequest, ContentWriteReply
	ContentRead       = "content:read_chunk:v1:requested"     // ContentReadRequest, ContentReadReply
	ContentMissing    = "content:missing_chunks:v1:requested" // ContentMissingRequest, ContentMissingReply
	ContentTrash      = "content:trash_chunk:v1:requested"    // ContentTrashRequest, ContentTrashReply
	ContentEmptyTrash = "content:empty_trash:v1:requested"    // ContentEmptyTrashRequest, ContentEmptyTrashReply
	ContentInventory  = "content:inventory:v1:requested"      // ContentInventoryRequest, ContentInventoryReply
	ContentScrub      = "content:scrub:v1:requested"          // ContentScrubRequest, ContentScrubReply
	ContentUsage      = "content:usage:v1:requested"          // ContentUsageRequest, ContentUsage
	ContentProve      = "content:prove_chunk:v1:requested"    // ContentProveRequest, ContentProveReply
	MeshCall          = "mesh:call:v1:requested"              // MeshCallRequest, MeshCallReply
	RecordSeal        = "record:seal:v1:requested"            // RecordSealRequest, RecordSealReply
	RecordOpen        = "record:open:v1:requested"            // RecordOpenRequest, RecordOpenReply
	InviteSign        = "invite:sign:v1:requested"            // InviteSignRequest, InviteSignReply
	SecretMake        = "secret:make:v1:requested"            // SecretMakeRequest, SecretMakeReply
	TokenSign         = "token:sign:v1:requested"             // TokenSignRequest, TokenSignReply
	FindChunks        = "semantic:find_chunks:v1:requested"
	StageChunks       = "semantic:stage_chunks:v1:requested"
	CommitFile        = "semantic:commit_file:v1:requested"
	AbortUpload       = "semantic:abort_upload:v1:requested"
	LookupFile        = "semantic:lookup_file:v1:requested"
	ListFiles         = "semantic:list_files:v1:requested"
	DeleteFile        = "semantic:delete_file:v1:requested"
	CondemnChunks     = "semantic:condemn_chunks:v1:requested"
	ForgetChunks      = "semantic:forget_chunks:v1:requested"
	UnknownChunks     = "semantic:unknown_chunks:v1:requested"
	ChunkCopies       = "semantic:chunk_copies:v1:requested"
	NodeChunks        = "semantic:node_chunks:v1:requested"
	DropCopies        = "semantic:drop_copies:v1:requested"
	PruneReplies      = "semantic:prune_replies:v1:requested"
	AdmitNode         = "semantic:admit_node:v1:requested"
	ListNodes         = "semantic:list_nodes:v1:requested"
	SetNode           = "semantic:set_node:v1:requested"
	DistrustNode      = "semantic:distrust_node:v1:requested"
	RaiseOrders       = "semantic:raise_orders:v1:requested"
	AddCopies         = "semantic:add_copies:v1:requested"
	ConfirmCopies     = "semantic:confirm_copies:v1:requested"
	AuditCopies       = "semantic:audit_copies:v1:requested"
	RetireCopy        = "semantic:retire_copy:v1:requested"
	ChunkStates       = "semantic:chunk_states:v1:requested"
	ScanChunks        = "semantic:scan_chunks:v1:requested"
	WantRepairs       = "semantic:want_repairs:v1:requested"
	ClaimRepairs      = "semantic:claim_repairs:v1:requested"
	SettleRepair      = "semantic:settle_repair:v1:requested"
	ListRepairs       = "semantic:list_repairs:v1:requested"
	SetReplicas       = "semantic:set_replicas:v1:requested"
	PendingRecords    = "semantic:pending_records:v1:requested"
	SettleRecord      = "semantic:settle_record:v1:requested"
	UnsettleRecords   = "semantic:unsettle_records:v1:requested"
	UnknownRecords    = "semantic:unknown_records:v1:requested"
	NodeRecords       = "semantic:node_records:v1:requested"
	Sight             = "semantic:sight:v1:requested"
	Sighted           = "semantic:sighted:v1:requested"
	RestoreVersion    = "semantic:restore_version:v1:requested"
	EndRestore        = "semantic:end_restore:v1:requested"
	OpenUpload        = "semantic:open_upload:v1:requested"
	FindUpload        = "semantic:find_upload:v1:requested"
	ListUploads       = "semantic:list_uploads:v1:requested"
	ExpiredUploads    = "semantic:expired_uploads:v1:requested"
	ClaimSlots        = "semantic:claim_slots:v1:requested"
	FillSlot          = "semantic:fill_slot:v1:requested"
	EmptySlots        = "semantic:empty_slots:v1:requested"
	UploadSlots       = "semantic:upload_slots:v1:requested"
	PutUser           = "semantic:put_user:v1:requested"
	ListUsers         = "semantic:list_users:v1:requested"
	FindUser          = "semantic:find_user:v1:requested"
	PutEnrolment      = "semantic:put_enrolment:v1:requested"
	ListDevices       = "semantic:list_devices:v1:requested"
	RevokeDevice      = "semantic:revoke_device:v1:requested"
	PutGroup          = "semantic:put_group:v1:requested"
	ListGroups        = "semantic:list_groups:v1:requested"
	OpenSession       = "semantic:open_session:v1:requested"
	RefreshSession    = "semantic:refresh_session:v1:requested"
	ListSessions      = "semantic:list_sessions:v1:requested"
	RevokeSessions    = "semantic:revoke_sessions:v1:requested"
	PruneSessions     = "semantic:prune_sessions:v1:requested"
	PutGrant          = "semantic:put_grant:v1:requested"
	ListGrants        = "semantic:list_grants:v1:requested"
	RemoveGrant       = "semantic:remove_grant:v1:requested"
	UseGrant          = "semantic:use_grant:v1:requested"
	ReadAccess        = "semantic:read_access:v1:requested"
	Transfer          = "semantic:transfer:v1:requested"
	FoldEntries       = "semantic:fold_entries:v1:requested"
	ListEntries       = "semantic:list_entries:v1:requested"
	Totals            = "semantic:totals:v1:requested"
	EpisodicRecord    = "episodic:record:v1:requested" // RecordRequest, RecordReply

	// What a node asks of another, inside a MeshCallRequest, beside the content effects above.
	NodeJoin      = "node:join:v1:requested"          // NodeJoinRequest, NodeJoinReply
	NodeHeartbeat = "node:heartbeat:v1:requested"     // HeartbeatRequest, HeartbeatReply
	ContentCopy   = "content:copy_chunk:v1:requested" // ContentCopyRequest, ContentCopyReply

	// What the storage module answers, inside a WorkerCallRequest.
	EncodeChunk    = "storage:encode_chunk:v1:requested"
	DescribeChunk  = "storage:describe_chunk:v1:requested"
	InflateChunk   = "storage:inflate_chunk:v1:requested"
	AdmitChunk     = "storage:admit_chunk:v1:requested"
	BuildNode      = "storage:build_node:v1:requested"
	OpenNode       = "storage:open_node:v1:requested"
	ProveChunk     = "storage:prove_chunk:v1:requested"
	VerifyProof    = "storage:verify_proof:v1:requested"
	ModuleManifest = "module:manifest:v1:requested" // no payload, ModuleManifest
	ModuleCall     = "module:call:v1:failed"        // Error; a module's answer, with an empty id, to what is no request
)
