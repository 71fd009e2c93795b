package main

import (
	"fmt"
	"io"
	"mime"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

type putFlags struct {
	replicas    uint8
	sync        uint8
	tier        string
	contentType string
	requestID   string
	ifAbsent    bool
	resume      bool
}

func (f *putFlags) options(name string) api.PutOptions {
	o := api.PutOptions{
		Replicas: uint32(f.replicas), Sync: uint32(f.sync), Tier: f.tier, ContentType: f.contentType, RequestID: f.requestID, IfAbsent: f.ifAbsent,
	}
	if o.ContentType == "" {
		o.ContentType = mime.TypeByExtension(filepath.Ext(name))
	}
	return o
}

// explain says what a put that was refused for --if-absent means.
func (f *putFlags) explain(target inos.Path, err error) error {
	if !f.ifAbsent || inos.CodeOf(err) != inos.CodePreconditionFailed {
		return err
	}
	return &inos.Error{
		Code: inos.CodePreconditionFailed, Op: "put", Message: printable(string(target)) + " exists", Err: err,
		Hint: "Choose another path, or leave --if-absent away to give it a new version.",
	}
}

func (a *app) cmdPut() *cobra.Command {
	f := &putFlags{}
	c := &cobra.Command{
		Use:   "put SOURCE [PATH]",
		Short: "Store a file, a folder or standard input",
		Long: `Put stores SOURCE under PATH. Without PATH the name of SOURCE is used; a PATH that ends in / gets the
name appended. A folder is stored with everything below it, several files at once; symbolic links,
special files and the folders of nodes are skipped, and said. SOURCE - is standard input and needs a PATH.

When put returns, the file is on stable storage on the failure domains that its receipt names, and its file id, which is
what b3sum prints, was compared with the bytes that were sent. The file stays readable while one of those domains lives;
further replicas follow by themselves. A put that fails leaves nothing visible, and one of a file that is changed while it is read fails. A path that exists
gets a new version.

With --resume a file survives a broken connection, Ctrl-C and a restart of the node: this machine splits and compresses
it, chunks that the node has are not sent, and the same command run again goes on where it was. What has arrived is kept
for a day after the last chunk ('inos uploads' lists it), and one version comes of it however often the command was killed.
It costs this machine the work of compressing, and the node that of checking every chunk; without --resume the node does all
of it, and a put that breaks off begins anew.` + othersManual,
		Example: `  inos put holiday.mp4                       # as /holiday.mp4
  inos put holiday.mp4 /videos/              # as /videos/holiday.mp4
  inos put photos /archive/2024              # a folder
  tar c src | inos put - /backup/src.tar     # standard input
  inos put will.pdf --replicas 5 --sync 3    # returns when three domains have it
  inos put disk.img --resume                 # run it again after whatever stopped it
  inos put report.pdf --json | jq -r .file_id`,
		Args: arguments(1, 2, "a SOURCE and at most one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.tier != "" && f.tier != "hot" && f.tier != "cold" {
				return usage(c, "--tier is hot or cold, not %q", f.tier)
			}
			if err := a.within(c, args[1:]); err != nil {
				return err
			}
			if args[0] == "-" {
				if len(args) < 2 {
					return usage(c, "standard input has no name: give a PATH")
				}
				if f.resume {
					return usage(c, "--resume reads a file twice if it has to: standard input cannot be")
				}
				return a.putOne(f, "standard input", path.Base(args[1]), inos.Path(args[1]), a.stdin, -1)
			}
			return a.putSource(c, f, args)
		},
	}
	flags := c.Flags()
	flags.Uint8Var(&f.replicas, "replicas", 0, "copies to keep; refused when they cannot be reached (default 3, reached as far as the mesh can)")
	flags.Uint8Var(&f.sync, "sync", 0, "failure domains to wait for (default at most 2)")
	flags.StringVar(&f.tier, "tier", "", "hot or cold")
	flags.StringVar(&f.contentType, "type", "", "media type (default by the name's extension)")
	flags.BoolVar(&f.ifAbsent, "if-absent", false, "refuse when the path exists")
	flags.BoolVar(&f.resume, "resume", false, "send it in pieces, and go on with what an earlier try has sent")
	flags.StringVar(&f.requestID, "request-id", "", "UUIDv7 of an earlier try: the put then has one effect")
	return c
}

// putSource stores a file or folder.
func (a *app) putSource(c *cobra.Command, f *putFlags, args []string) error {
	source := args[0]
	info, err := os.Stat(source)
	if err != nil {
		return &inos.Error{Code: inos.CodeBadRequest, Op: "read what is put", Message: err.Error(), Hint: "Check the name.", Err: err}
	}
	name, err := baseName(source)
	if err != nil {
		return err
	}
	target := "/" + name
	if len(args) == 2 {
		if target = args[1]; strings.HasSuffix(target, "/") {
			target += name
		}
	}
	if info.IsDir() {
		if f.requestID != "" {
			return usage(c, "--request-id names one put, %s is a folder", source)
		}
		if f.resume {
			return usage(c, "--resume is for one file, %s is a folder", source)
		}
		return a.putFolder(f, source, target)
	}
	file, err := os.Open(source)
	if err != nil {
		return &inos.Error{Code: inos.CodeBadRequest, Op: "read what is put", Message: err.Error(), Hint: "Check the permissions.", Err: err}
	}
	defer file.Close()
	body, length, err := openSource(file)
	if err != nil {
		return err
	}
	if f.resume {
		if info, err = file.Stat(); err != nil || length < 0 {
			return usage(c, "--resume is for a regular file, and %s is none", source)
		}
		return a.putResumable(f, source, name, inos.Path(target), file, info)
	}
	return a.putOne(f, source, name, inos.Path(target), body, length)
}

func baseName(source string) (string, error) {
	abs, err := filepath.Abs(source)
	if err != nil {
		return "", inos.Errorf(inos.CodeIO, "read what is put", "%w", err)
	}
	name := filepath.Base(abs)
	if name == "/" || name == "." {
		return "", inos.Errorf(inos.CodeBadPath, "put", "%s has no name: give a PATH", source)
	}
	return name, nil
}

// putOne stores one body and prints its receipt.
func (a *app) putOne(f *putFlags, source, name string, target inos.Path, body io.Reader, length int64) error {
	if err := inos.CheckPath(target); err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	m := a.meter("put "+printable(source), length)
	if m != nil {
		m.finish = "waiting for the disk"
	}
	o := f.options(name)
	o.Progress = m.set
	reply, err := client.Put(a.ctx, target, body, length, o)
	m.close()
	if err != nil {
		return f.explain(target, err)
	}
	if a.json {
		return a.printJSON(reply)
	}
	if a.quiet {
		return nil
	}
	return a.printReceipt(&reply)
}

func (a *app) printReceipt(r *api.PutReply) error {
	stored := fmt.Sprintf("%s bytes (%s of plain)", groupText(r.StoredBytes), percentText(r.StoredBytes, r.PlainBytes))
	if r.DeduplicatedBytes > 0 {
		stored += fmt.Sprintf(", %s were held already", sizeText(r.DeduplicatedBytes))
	}
	err := a.printf("%s\n  file id   %s\n  plain     %s bytes in %s, version %d\n  stored    %s\n  replicas  %s\n",
		printable(r.Path), r.FileID, groupText(r.PlainBytes), plural(r.Chunks, "chunk"), r.Version, stored, replicasText(&r.File))
	if err == nil {
		err = a.printDomains("receipt", r.Receipt)
	}
	if err != nil {
		return err
	}
	return a.printf("  trace     %s\n", r.TraceID)
}

func replicasText(f *api.File) string {
	s := fmt.Sprintf("%d of %d", f.ReplicasReached, f.ReplicasWanted)
	if f.Degraded {
		s += ", degraded: " + printable(f.DegradedReason)
	}
	return s
}
