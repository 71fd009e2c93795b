package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/inos-mesh/inos"
)

// Bounds of the client.
const (
	answerBytesMax  = 8 << 20 // of a JSON answer that is not a stream of lines
	lineBytesMax    = 1 << 20 // of one line of a stream
	busyTriesMax    = 8       // of a put that the node is too busy for
	busyWaitMax     = 10 * time.Second
	continueTimeout = 2 * time.Second // a server that is silent after Expect: 100-continue gets the body
	followWaitMin   = 200 * time.Millisecond
	followWaitMax   = 5 * time.Second
)

// Client speaks to one node's HTTP interface. It may be used from many goroutines at once. What the node refuses comes
// back as *inos.Error with the node's code and hint; a node that cannot be reached is CodeNodeUnreachable.
type Client struct {
	base  string
	token TokenSource
	owner inos.Subject // whose namespace files are in; empty: one's own
	http  *http.Client

	told                        func(text string) // see Tell; nil: nobody is
	silenceTold, silenceTimeout time.Duration     // as the constants say, shortened by tests
}

// TokenSource returns the token to show. Refused is one that the node has just refused, or empty: another is wanted, and the same says that
// there is none. It is called from many goroutines.
type TokenSource func(ctx context.Context, refused string) (string, error)

// NewClient returns a client of the node at an http or https URL that authenticates with a token's secret.
func NewClient(node, secret string) (*Client, error) {
	return NewClientOf(node, func(context.Context, string) (string, error) { return secret, nil })
}

// In returns a client of the same node whose files are in another's namespace.
func (c *Client) In(owner inos.Subject) *Client {
	in := *c
	in.owner = owner
	return &in
}

// NewClientOf returns a client that asks for its token before each request.
func NewClientOf(node string, token TokenSource) (*Client, error) {
	u, err := url.Parse(node)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, &inos.Error{
			Code: inos.CodeBadRequest, Op: "find node", Message: fmt.Sprintf("%.200q is not the URL of a node", node),
			Hint: "Write it like http://127.0.0.1:7770.",
		}
	}
	transport := &http.Transport{
		Proxy: nil, // a token is for the node alone
		DialContext: (&net.Dialer{
			Timeout: 10 * time.Second, KeepAlive: 30 * time.Second,
		}).DialContext,
		DisableCompression:    true, // the FileID is of the plain bytes
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       30 * time.Second, // less than the server's
		ExpectContinueTimeout: continueTimeout,
		TLSHandshakeTimeout:   10 * time.Second,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
	return &Client{
		base: strings.TrimRight(u.String(), "/"), token: token, silenceTold: silenceTold, silenceTimeout: silenceTimeout,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // no answer may send the token elsewhere
		},
	}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ref names a file: its path, or its FileID when Path is empty.
type Ref struct {
	Path   inos.Path
	FileID inos.FileID
}

// ParseRef reads a path, which begins with a slash, or a FileID of 64 hexadecimal digits.
func ParseRef(s string) (Ref, error) {
	if !strings.HasPrefix(s, "/") && len(s) == 2*inos.HashBytes {
		if id, err := inos.ParseFileID(s); err == nil {
			return Ref{FileID: id}, nil
		}
	}
	return Ref{Path: inos.Path(s)}, inos.CheckPath(inos.Path(s))
}

// String returns the path or the FileID.
func (r Ref) String() string {
	if r.Path != "" {
		return string(r.Path)
	}
	return r.FileID.String()
}

func (r Ref) address() string {
	if r.Path != "" {
		return "/v1/files/" + escapePath(r.Path)
	}
	return "/v1/blobs/" + r.FileID.String()
}

// newRequest returns an authenticated request.
func (c *Client) newRequest(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+c.inNamespace(address), body)
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadRequest, method, "%w", err)
	}
	r.Header.Set("User-Agent", "inos")
	secret, err := c.token(ctx, "")
	if err != nil {
		return nil, err
	}
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	return r, nil
}

// inNamespace adds to the address of a file whose it is.
func (c *Client) inNamespace(address string) string {
	if c.owner == "" {
		return address
	}
	for _, prefix := range []string{"/v1/files", "/v1/blobs/", "/v1/stat", "/v1/verify", "/v1/uploads"} {
		if strings.HasPrefix(address, prefix) {
			separator := "?"
			if strings.Contains(address, "?") {
				separator = "&"
			}
			return address + separator + "owner=" + url.QueryEscape(string(c.owner))
		}
	}
	return address
}

// do sends a request; the answer has a status below 300 and its body has to be closed.
func (c *Client) do(r *http.Request) (*http.Response, error) {
	s, r := c.watch(r)
	response, err := c.http.Do(r)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		response, err = c.doAgain(r, response)
	}
	if err != nil {
		defer s.end()
		if ended := silenced(r); ended != nil {
			return nil, ended
		}
		return nil, c.connectionError(r.Context(), err)
	}
	s.pause()
	response.Body = &watchedBody{ReadCloser: response.Body, silence: s}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, answerError(response)
}

// doAgain sends a request that was refused with another token, when there is one and its body can be sent again; else the answer stays.
func (c *Client) doAgain(r *http.Request, refused *http.Response) (*http.Response, error) {
	shown := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if shown == "" || r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return refused, nil
	}
	secret, err := c.token(r.Context(), shown)
	if err != nil || secret == shown {
		return refused, nil //nolint:nilerr // what the node said tells more
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return refused, nil //nolint:nilerr // the same
		}
	}
	again.Header.Set("Authorization", "Bearer "+secret)
	_ = refused.Body.Close()
	return c.http.Do(again)
}

// connectionError gives a failed exchange its code.
func (c *Client) connectionError(ctx context.Context, err error) error {
	var coded *inos.Error
	var operation *net.OpError
	switch {
	case errors.As(err, &coded): // the body that was sent failed
		return coded
	case ctx.Err() != nil:
		return inos.Errorf(inos.CodeCanceled, "call node", "%w", ctx.Err())
	case errors.As(err, &operation) && operation.Op == "dial":
		return inos.Errorf(inos.CodeNodeUnreachable, "call node", "%s: %w", c.base, operation.Err)
	default:
		return &inos.Error{
			Code: inos.CodeIO, Op: "call node", Message: fmt.Sprintf("%s: the connection broke: %v", c.base, rootCause(err)), Err: err,
			Hint: "See whether the node still runs with 'inos status'; then try again.",
		}
	}
}

// rootCause returns what went wrong on a connection, without the calls and addresses that it passed through.
func rootCause(err error) error {
	for {
		var u *url.Error
		var operation *net.OpError
		var call *os.SyscallError
		switch {
		case errors.As(err, &u):
			err = u.Err
		case errors.As(err, &operation):
			err = operation.Err
		case errors.As(err, &call):
			err = call.Err
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it ended before the answer")
		default:
			return err
		}
	}
}

// answerError reads the error of an answer that is not a success.
func answerError(response *http.Response) error {
	var p problem
	if response.Header.Get("Content-Type") == problemType {
		if err := json.NewDecoder(io.LimitReader(response.Body, answerBytesMax)).Decode(&p); err == nil && p.Number != 0 {
			return p.error()
		}
	}
	return &inos.Error{
		Code: inos.CodeIO, Op: "call node", Message: "the answer " + response.Status + " is not one of an INOS node",
		Hint: "Check the address given by --node or INOS_NODE.",
	}
}

// getJSON calls and reads one JSON value.
func (c *Client) callJSON(ctx context.Context, method, address string, out any) error {
	r, err := c.newRequest(ctx, method, address, nil)
	if err != nil {
		return err
	}
	response, err := c.do(r)
	if err != nil {
		return err
	}
	return c.readJSON(ctx, response, out)
}

func (c *Client) readJSON(ctx context.Context, response *http.Response, out any) error {
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	if err != nil {
		return c.connectionError(ctx, err)
	}
	if len(body) > answerBytesMax {
		return inos.Errorf(inos.CodeBadFormat, "read answer", "more than %d bytes", answerBytesMax)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return inos.Errorf(inos.CodeBadFormat, "read answer", "%w", err)
	}
	return nil
}

// Status returns the node's state.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.callJSON(ctx, "GET", "/v1/status", &s)
}

// Version returns the node's name and build.
func (c *Client) Version(ctx context.Context) (i Info, err error) {
	return i, c.callJSON(ctx, "GET", "/v1/version", &i)
}

// Trace returns what is known of a trace; it is empty when nothing is.
func (c *Client) Trace(ctx context.Context, id string) (t Trace, err error) {
	if !isTraceID(id) {
		return t, &inos.Error{
			Code: inos.CodeBadRequest, Op: "parse trace id", Message: fmt.Sprintf("%.80q is not 32 lower-case hexadecimal digits", id),
			Hint: "'inos put' prints the trace of each put, 'inos events' that of each event.",
		}
	}
	return t, c.callJSON(ctx, "GET", "/v1/traces/"+id, &t)
}
