package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

const (
	// TokenBytesMax bounds an access token; one with more capabilities than fit is not signed.
	TokenBytesMax = 8 << 10
	// TokenLifeMax bounds how long a token may live, and with it how long a key that signs no more still verifies.
	TokenLifeMax = 366 * inos.Day
	// TokenSkew is how far the clocks of who signs a token and of who reads it may differ.
	TokenSkew = 30 * inos.Second
	// TokenKeysMax bounds the keys of a TokenKeys.
	TokenKeysMax = 64
)

// TokenKey signs access tokens, or did before the next one came.
type TokenKey struct {
	Seed    [ed25519.SeedSize]byte
	Created inos.Micros
	Retired inos.Micros // since when it signs no more; 0: it signs
}

// ID returns what the header of a token calls its key: the first 16 hexadecimal digits of the SHA-256 of the public key.
func (k *TokenKey) ID() string {
	sum := sha256.Sum256(k.private().Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:8])
}

func (k *TokenKey) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.Seed[:]) }

// TokenKeys are the keys of a mesh's access tokens: JWTs (RFC 7519) that are signed with EdDSA (RFC 8037) and nothing else. The newest key
// signs; older ones verify until the last token that they can have signed has expired. Its methods may be called from many goroutines.
type TokenKeys struct {
	issuer string
	signer ed25519.PrivateKey
	kid    string
	keys   map[string]verifyingKey
	parser *jwt.Parser
}

type verifyingKey struct {
	public ed25519.PublicKey
	until  inos.Micros // 0: always
}

// NewTokenKeys returns the keys of the mesh with a root key. Exactly one of them signs; CodeBadFormat otherwise.
func NewTokenKeys(root ed25519.PublicKey, keys []TokenKey) (*TokenKeys, error) {
	const op = "read token keys"
	if len(keys) > TokenKeysMax {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%d keys, at most %d are kept", len(keys), TokenKeysMax)
	}
	t := &TokenKeys{
		issuer: hex.EncodeToString(root), keys: make(map[string]verifyingKey, len(keys)),
		// The claims are checked here, against a time that is given. Strict decoding: each token has one spelling.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding()),
	}
	for i := range keys {
		k, id := &keys[i], keys[i].ID()
		if _, twice := t.keys[id]; twice {
			return nil, inos.Errorf(inos.CodeBadFormat, op, "the key %s is there twice", id)
		}
		v := verifyingKey{public: k.private().Public().(ed25519.PublicKey)}
		switch {
		case k.Retired != 0:
			v.until = k.Retired + TokenLifeMax
		case t.signer != nil:
			return nil, inos.Errorf(inos.CodeBadFormat, op, "%s and %s both sign", t.kid, id)
		default:
			t.signer, t.kid = k.private(), id
		}
		t.keys[id] = v
	}
	if t.signer == nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "none of %d keys signs", len(keys))
	}
	return t, nil
}

// Issuer returns what tokens name as their issuer: the mesh's root public key, hexadecimal.
func (t *TokenKeys) Issuer() string { return t.issuer }

// claims are what a token says; times are seconds.
type claims struct {
	Issuer       string   `json:"iss"`
	Audience     string   `json:"aud"`
	Subject      string   `json:"sub"`
	Device       string   `json:"device,omitempty"`
	ID           string   `json:"jti"`
	Capabilities []string `json:"caps"`
	Expires      int64    `json:"exp"`
	IssuedAt     int64    `json:"iat"`
	Peer         string   `json:"peer,omitempty"`
}

// The library asks for claims by these methods; only its own validation, which is off, calls them.

// GetExpirationTime implements jwt.Claims.
func (*claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuedAt implements jwt.Claims.
func (*claims) GetIssuedAt() (*jwt.NumericDate, error) { return nil, nil }

// GetNotBefore implements jwt.Claims.
func (*claims) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuer implements jwt.Claims.
func (c *claims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetSubject implements jwt.Claims.
func (c *claims) GetSubject() (string, error) { return c.Subject, nil }

// GetAudience implements jwt.Claims.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) { return jwt.ClaimStrings{c.Audience}, nil }

// Sign makes the access token of a session. CodeBadRequest for one that no token can say: without an id, a subject or an end within
// TokenLifeMax, or with more than TokenBytesMax hold.
func (t *TokenKeys) Sign(s *eventpb.Session, now inos.Micros) (string, error) {
	const op = "token:sign"
	life := inos.Micros(s.ExpiresUs) - now
	if s.TokenId == "" || s.Subject == "" || life <= 0 || life > TokenLifeMax {
		return "", inos.Errorf(inos.CodeBadRequest, op, "the session %.64q of %.64q lives for %d s more; a token needs both names and lives for at most %d days",
			s.TokenId, s.Subject, life/inos.Second, TokenLifeMax/inos.Day)
	}
	c := &claims{
		Issuer: t.issuer, Audience: s.Audience, Subject: s.Subject, Device: s.Device, ID: s.TokenId, Capabilities: s.Capabilities,
		Expires: s.ExpiresUs / int64(inos.Second), IssuedAt: int64(now / inos.Second), Peer: s.Peer,
	}
	if c.Audience == "" {
		c.Audience = t.issuer
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"] = t.kid
	text, err := token.SignedString(t.signer)
	if err != nil {
		return "", inos.Errorf(inos.CodeInternal, op, "%w", err)
	}
	if len(text) > TokenBytesMax {
		return "", inos.Errorf(inos.CodeBadRequest, op, "%d bytes with %d capabilities, a token has at most %d: ask for fewer or wider ones", len(text), len(s.Capabilities), TokenBytesMax)
	}
	return text, nil
}

// Verify reads an access token that is shown by peer, empty for who is no node, to the audience, empty for the mesh itself.
// CodeUnauthenticated says why it does not count, and repeats nothing of the token. Whether its session was revoked is for the caller to ask.
func (t *TokenKeys) Verify(token, audience string, peer inos.NodeID, now inos.Micros) (*eventpb.Session, error) {
	c, err := t.read(token, now)
	if err == nil {
		err = t.check(c, audience, peer, now)
	}
	if err != nil {
		return nil, inos.Errorf(inos.CodeUnauthenticated, "verify token", "%w", err)
	}
	s := &eventpb.Session{
		TokenId: c.ID, Subject: c.Subject, Device: c.Device, Capabilities: c.Capabilities, ExpiresUs: c.Expires * int64(inos.Second), Audience: c.Audience, Peer: c.Peer,
	}
	if s.Audience == t.issuer {
		s.Audience = ""
	}
	return s, nil
}

// read checks form and signature. The library's errors may quote the token and are not passed on.
func (t *TokenKeys) read(token string, now inos.Micros) (*claims, error) {
	if len(token) > TokenBytesMax {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(token), TokenBytesMax)
	}
	why := errors.New("it is not a signed token")
	var c claims
	parsed, err := t.parser.ParseWithClaims(token, &c, func(parsed *jwt.Token) (any, error) {
		kid, _ := parsed.Header["kid"].(string)
		if typ, _ := parsed.Header["typ"].(string); typ != "JWT" || len(parsed.Header) != 3 { // alg, kid, typ: what else it may have, such as crit, is not understood
			why = errors.New("its header has other than alg, kid and typ")
			return nil, why
		}
		key, known := t.keys[kid]
		if !known || key.until != 0 && now >= key.until+TokenSkew {
			why = errors.New("it is signed by a key that is not known, or not any more")
			return nil, why
		}
		why = errors.New("its signature does not verify")
		return key.public, nil
	})
	if err != nil || !parsed.Valid {
		return nil, why
	}
	return &c, nil
}

// check holds the claims of a token that a key of the mesh has signed against who shows it, to whom and when.
func (t *TokenKeys) check(c *claims, audience string, peer inos.NodeID, now inos.Micros) error {
	if audience == "" {
		audience = t.issuer
	}
	seconds, skew := int64(now/inos.Second), int64(TokenSkew/inos.Second)
	switch {
	case c.Issuer != t.issuer:
		return errors.New("it is of another mesh")
	case c.ID == "" || c.Subject == "" || c.Expires == 0:
		return errors.New("it lacks its id, its subject or its end")
	case c.Audience != audience:
		return errors.New("it is for another audience")
	case c.Peer != "" && c.Peer != string(peer):
		return errors.New("it is bound to another peer")
	case c.IssuedAt > seconds+skew:
		return fmt.Errorf("it was issued in %d s", c.IssuedAt-seconds)
	case c.Expires <= seconds-skew:
		return fmt.Errorf("it expired %d s ago", seconds-c.Expires)
	}
	return nil
}
