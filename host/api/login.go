package api

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"unicode"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const (
	// challengeLife is how long a challenge can be answered.
	challengeLife = inos.Minute
	// challengesMax bounds the challenges that wait for their answer; the oldest goes first. To drive another's out before it is
	// answered somebody has to ask for as many within one round trip.
	challengesMax = 8192
	// loginSecretMax bounds an enrolment's or a refresh secret before it is hashed.
	loginSecretMax = 128
)

// challenges are what devices are asked to sign: each once, within challengeLife.
type challenges struct {
	mu    sync.Mutex // guards the fields below
	open  map[string]challenge
	queue []string // by age; may name ones that are gone
}

type challenge struct {
	user    string
	expires inos.Micros
}

// make returns a new challenge for a user, who may be nobody.
func (c *challenges) make(user string, now inos.Micros) (text string, expires inos.Micros) {
	text, expires = randomText(), now+challengeLife
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[string]challenge{}
	}
	for len(c.queue) > 0 {
		oldest, waits := c.open[c.queue[0]]
		if waits && oldest.expires > now && len(c.queue) < challengesMax {
			break
		}
		delete(c.open, c.queue[0])
		c.queue = c.queue[1:]
	}
	c.open[text] = challenge{user, expires}
	c.queue = append(c.queue, text)
	return text, expires
}

// take says whether the challenge was made for the user and not answered yet; from here on it is answered.
func (c *challenges) take(text, user string, now inos.Micros) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.open[text]
	delete(c.open, text)
	return ok && got.user == user && now < got.expires
}

// randomText returns 32 random bytes in base64url.
func randomText() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it cannot fail
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// challenge makes what a device signs to log in: POST /v1/login/challenge {user}. Nobody looks whether there is such a user.
func (x *exchange) challenge(target) error {
	var q ChallengeQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if q.User == "" || len(q.User) > inos.NameBytesMax {
		return inos.Errorf(inos.CodeBadRequest, "identity:login", "user has 1 to %d bytes", inos.NameBytesMax)
	}
	text, expires := x.h.challenges.make(q.User, x.h.micros())
	x.secret(http.StatusOK, Challenge{Challenge: text, Mesh: x.h.node.Info().MeshID, ExpiresUs: int64(expires)})
	return nil
}

// login lets a device in: POST /v1/login. Whatever is wrong, the challenge, the signature, the device, the enrolment or the user, the
// answer is the same.
func (x *exchange) login(target) error {
	var q LoginQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	key, ok := x.provesKey(&q)
	if !ok {
		return x.refuseStranger("a login whose challenge or signature is not good")
	}
	request := &eventpb.LoginRequest{
		User: q.User, PublicKey: key, Device: x.h.node.DeviceID(key), DeviceName: q.DeviceName, Capabilities: q.Capabilities, Audience: q.Audience,
	}
	if q.Enrolment != "" {
		request.Enrolment = hashSecret(q.Enrolment)
	}
	return x.letIn(event.IdentityLogin, request)
}

// check refuses what no user's login looks like.
func (q *LoginQuestion) check() error {
	const op = "identity:login"
	switch {
	case q.User == "" || len(q.User) > inos.NameBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "user has 1 to %d bytes", inos.NameBytesMax)
	case len(q.DeviceName) > inos.LabelBytesMax || strings.ContainsFunc(q.DeviceName, unicode.IsControl):
		return inos.Errorf(inos.CodeBadRequest, op, "device_name has at most %d bytes of text without control characters", inos.LabelBytesMax)
	case len(q.Audience) > inos.LabelBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "audience has at most %d bytes", inos.LabelBytesMax)
	}
	return checkCapabilities(op, q.Capabilities)
}

// checkCapabilities refuses what is no list of capabilities; what each means is for the kernel to say.
func checkCapabilities(op string, capabilities []string) error {
	if len(capabilities) > inos.SessionCapsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d capabilities, at most %d", len(capabilities), inos.SessionCapsMax)
	}
	for _, c := range capabilities {
		if parts := strings.SplitN(c, ":", 3); len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
			e := inos.Errorf(inos.CodeBadRequest, op, "%.80q is no capability", c)
			e.Hint = "Write it like files:read:/photos/*, service, verb and resource."
			return e
		}
	}
	return nil
}

// provesKey checks that the sender holds the key it names, and answers a challenge of ours.
func (x *exchange) provesKey(q *LoginQuestion) (key []byte, ok bool) {
	// The challenge is used up whatever else is wrong.
	fresh := x.h.challenges.take(q.Challenge, q.User, x.h.micros())
	key, okKey := unhex(q.DevicePublicKey, ed25519.PublicKeySize)
	signature, okSignature := unhex(q.Signature, ed25519.SignatureSize)
	if !fresh || !okKey || !okSignature || len(q.Enrolment) > loginSecretMax {
		return nil, false
	}
	return key, ed25519.Verify(key, LoginText(x.h.node.Info().MeshID, q.User, q.Challenge), signature)
}

// refresh gives a session another access token, and another refresh secret: POST /v1/login/refresh.
func (x *exchange) refresh(target) error {
	var q RefreshQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if q.Refresh == "" || len(q.Refresh) > loginSecretMax {
		return unauthenticated()
	}
	return x.letIn(event.IdentityRefresh, &eventpb.RefreshRequest{Refresh: hashSecret(q.Refresh)})
}

func hashSecret(s string) []byte {
	sum := blake3.Sum256([]byte(s))
	return sum[:]
}

// letIn asks the kernel, in the name of the node, to let a device in. Why it does not, is for the history: a stranger learns nothing from it.
func (x *exchange) letIn(eventType string, question event.Message) error {
	e := x.envelope(newID(x.h.now()), eventType, question)
	e.Metadata.SecurityToken = hostToken
	var reply eventpb.LoginReply
	if err := x.send(x.r.Context(), e, &reply, nil); err != nil {
		switch inos.CodeOf(err) {
		case inos.CodeUnauthenticated, inos.CodeUserUnknown:
			return unauthenticated()
		}
		return err
	}
	out := LoginReply{Token: reply.Token, Refresh: reply.Refresh, Session: sessionOf(reply.Session)}
	out.TokenExpiresUs = expiryOf(reply.Token)
	x.secret(http.StatusOK, out)
	return nil
}

// secret answers with what nobody between may keep.
func (x *exchange) secret(status int, v any) {
	x.w.Header().Set("Cache-Control", "no-store")
	x.writeJSON(status, v)
}

// expiryOf returns when an access token expires, which it says itself; 0 when it does not.
func expiryOf(token string) int64 {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return 0
	}
	return claims.Expires * int64(inos.Second)
}
