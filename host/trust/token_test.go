package trust

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

const tokenLife = 15 * inos.Minute

func tokenKey(name string, retired inos.Micros) TokenKey {
	return TokenKey{Seed: sha256.Sum256([]byte(name)), Created: now, Retired: retired}
}

func tokenKeys(t testing.TB, keys ...TokenKey) *TokenKeys {
	t.Helper()
	got, err := NewTokenKeys(newMesh(t, "mesh").root.PublicKey(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func session() *eventpb.Session {
	return &eventpb.Session{
		TokenId: "token-1", Subject: "ann", Device: "laptop", Capabilities: []string{"files:read:/photos/*"}, ExpiresUs: int64(now + tokenLife),
	}
}

func signed(t testing.TB, keys *TokenKeys, s *eventpb.Session) string {
	t.Helper()
	token, err := keys.Sign(s, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokensSayWhatTheirSessionSays(t *testing.T) {
	keys := tokenKeys(t, tokenKey("a", 0))
	for _, s := range []*eventpb.Session{
		session(),
		{TokenId: "program", Subject: "ann", ExpiresUs: int64(now + TokenLifeMax)},
		{TokenId: "other", Subject: "ann", ExpiresUs: int64(now + tokenLife), Audience: "backup", Peer: string(provider)},
	} {
		got, err := keys.Verify(signed(t, keys, s), s.Audience, inos.NodeID(s.Peer), now)
		if err != nil || !got.EqualVT(s) {
			t.Errorf("%v, %v; want %v", got, err, s)
		}
	}
}

func TestTokensThatDoNotCount(t *testing.T) {
	keys := tokenKeys(t, tokenKey("a", 0))
	good := signed(t, keys, session())
	bound, elsewhere := session(), session()
	bound.Peer, elsewhere.Audience = string(provider), "backup"
	otherMesh, err := NewTokenKeys(newMesh(t, "other mesh").root.PublicKey(), []TokenKey{tokenKey("a", 0)})
	if err != nil {
		t.Fatal(err)
	}
	key := tokenKey("a", 0)
	header := func(more string) string { return fmt.Sprintf(`{"alg":"EdDSA","typ":"JWT","kid":%q%s}`, key.ID(), more) }
	say := func(claims string) string { return forge(&key, header(""), claims) }
	body := func(edit func(map[string]any)) string {
		c := map[string]any{"iss": keys.Issuer(), "aud": keys.Issuer(), "sub": "ann", "jti": "token-1", "exp": int64((now + tokenLife) / inos.Second), "iat": int64(now / inos.Second)}
		edit(c)
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if _, err := keys.Verify(say(body(func(map[string]any) {})), "", "", now); err != nil {
		t.Fatalf("what the cases below change does not count itself: %v", err)
	}
	without := func(name string) string { return say(body(func(c map[string]any) { delete(c, name) })) }
	cases := []struct {
		name, token, audience string
		peer                  inos.NodeID
		at                    inos.Micros
		want                  string
	}{
		{"no token", "", "", "", now, "not a signed token"},
		{"two parts", good[:strings.LastIndexByte(good, '.')], "", "", now, "not a signed token"},
		{"none", forge(nil, `{"alg":"none","typ":"JWT","kid":"`+key.ID()+`"}`, body(func(map[string]any) {})), "", "", now, "not a signed token"},
		{"hmac with the public key", hs256(&key, body(func(map[string]any) {})), "", "", now, "not a signed token"},
		{"another key", signed(t, tokenKeys(t, tokenKey("b", 0)), session()), "", "", now, "a key that is not known"},
		{"no kid", forge(&key, `{"alg":"EdDSA","typ":"JWT","x":"y"}`, body(func(map[string]any) {})), "", "", now, "a key that is not known"},
		{"another's kid", forge(&key, strings.Replace(header(""), key.ID(), "0011223344556677", 1), body(func(map[string]any) {})), "", "", now, "a key that is not known"},
		{"a critical extension", forge(&key, header(`,"crit":["b64"],"b64":true`), body(func(map[string]any) {})), "", "", now, "header"},
		{"another mesh", signed(t, otherMesh, session()), "", "", now, "another mesh"},
		{"no issuer", without("iss"), "", "", now, "another mesh"},
		{"no audience", without("aud"), "", "", now, "another audience"},
		{"no end", without("exp"), "", "", now, "lacks"},
		{"no id", without("jti"), "", "", now, "lacks"},
		{"no subject", without("sub"), "", "", now, "lacks"},
		{"for the mesh, shown to another", good, "backup", "", now, "another audience"},
		{"for another, shown to the mesh", signed(t, keys, elsewhere), "", "", now, "another audience"},
		{"bound, shown by nobody", signed(t, keys, bound), "", "", now, "another peer"},
		{"bound, shown by another", signed(t, keys, bound), "", other, now, "another peer"},
		{"expired", good, "", "", now + tokenLife + TokenSkew, "expired 30 s ago"},
		{"not yet", good, "", "", now - TokenSkew - inos.Second, "issued in 31 s"},
		{"too long", good + strings.Repeat("A", TokenBytesMax), "", "", now, "at most"},
	}
	for _, c := range cases {
		got, err := keys.Verify(c.token, c.audience, c.peer, c.at)
		if err == nil || inos.CodeOf(err) != inos.CodeUnauthenticated || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error about %q", c.name, got, err, c.want)
		}
		if err != nil && len(c.token) > 40 && strings.Contains(err.Error(), c.token[20:40]) {
			t.Errorf("%s: the error quotes the token: %v", c.name, err)
		}
	}
	for _, at := range []inos.Micros{now - TokenSkew, now, now + tokenLife + TokenSkew - inos.Second} {
		if _, err := keys.Verify(good, "", "", at); err != nil {
			t.Errorf("within the skew, %d s from its issue: %v", (at-now)/inos.Second, err)
		}
	}
}

// forge signs any header and claims; without a key there is no signature.
func forge(key *TokenKey, header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	if key == nil {
		return text + "."
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key.private(), []byte(text)))
}

// hs256 signs with the one secret that a stranger knows of the key: its public half.
func hs256(key *TokenKey, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT","kid":"`+key.ID()+`"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, key.private().Public().(ed25519.PublicKey))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestNoByteOfATokenCanBeChanged(t *testing.T) {
	keys := tokenKeys(t, tokenKey("a", 0))
	good := signed(t, keys, session())
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "
	for i := range good {
		// The last digit of each part has bits that mean nothing; a strict decoder wants them to be zero.
		few := alphabet[i%40 : i%40+4]
		if i+1 == len(good) || good[i+1] == '.' {
			few = alphabet
		}
		for _, c := range []byte(few) {
			if c == good[i] {
				continue
			}
			if _, err := keys.Verify(good[:i]+string(c)+good[i+1:], "", "", now); err == nil {
				t.Fatalf("the token counts with %q for %q at %d", c, good[i], i)
			}
		}
		if _, err := keys.Verify(good[:i]+good[i+1:], "", "", now); err == nil {
			t.Fatalf("the token counts without its byte %d", i)
		}
	}
}

func TestOlderKeysVerifyUntilTheirTokensHaveExpired(t *testing.T) {
	before := signed(t, tokenKeys(t, tokenKey("a", 0)), session())
	rotated := now + inos.Minute
	keys := tokenKeys(t, tokenKey("a", rotated), tokenKey("b", 0))
	if _, err := keys.Verify(before, "", "", rotated); err != nil {
		t.Errorf("signed before the rotation: %v", err)
	}
	if _, err := tokenKeys(t, tokenKey("a", 0)).Verify(signed(t, keys, session()), "", "", now); err == nil {
		t.Error("the older key still signs")
	}
	long := session()
	long.ExpiresUs = int64(now + TokenLifeMax)
	long.TokenId = "long"
	old := tokenKeys(t, tokenKey("a", 0))
	late, err := old.Sign(&eventpb.Session{TokenId: "late", Subject: "ann", ExpiresUs: int64(rotated + TokenLifeMax)}, rotated)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Verify(late, "", "", rotated+TokenLifeMax); err != nil {
		t.Errorf("the last token that the key can have signed, as it expires: %v", err)
	}
	if _, err := keys.Verify(late, "", "", rotated+TokenLifeMax+TokenSkew); err == nil || !strings.Contains(err.Error(), "not any more") {
		t.Errorf("a key whose tokens have all expired: %v", err)
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	many := make([]TokenKey, TokenKeysMax+1)
	for i := range many {
		many[i] = tokenKey(fmt.Sprint(i), now)
	}
	many[0].Retired = 0
	root := newMesh(t, "mesh").root.PublicKey()
	for name, keys := range map[string][]TokenKey{
		"none": {}, "none that signs": {tokenKey("a", now)}, "two that sign": {tokenKey("a", 0), tokenKey("b", 0)},
		"one twice": {tokenKey("a", 0), tokenKey("a", now)}, "too many": many,
	} {
		if _, err := NewTokenKeys(root, keys); inos.CodeOf(err) != inos.CodeBadFormat {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewTokenKeys(root, many[:TokenKeysMax]); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
}

func TestSessionsThatNoTokenCanSay(t *testing.T) {
	keys := tokenKeys(t, tokenKey("a", 0))
	for name, edit := range map[string]func(*eventpb.Session){
		"no id":            func(s *eventpb.Session) { s.TokenId = "" },
		"no subject":       func(s *eventpb.Session) { s.Subject = "" },
		"no end":           func(s *eventpb.Session) { s.ExpiresUs = 0 },
		"ended":            func(s *eventpb.Session) { s.ExpiresUs = int64(now) },
		"lives too long":   func(s *eventpb.Session) { s.ExpiresUs = int64(now+TokenLifeMax) + 1 },
		"too many to hold": func(s *eventpb.Session) { s.Capabilities = []string{strings.Repeat("a", TokenBytesMax)} },
	} {
		s := session()
		edit(s)
		if _, err := keys.Sign(s, now); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	keys := tokenKeys(f, tokenKey("a", now), tokenKey("b", 0))
	good := signed(f, keys, session())
	f.Add(good)
	f.Add(forge(nil, `{"alg":"none"}`, `{}`))
	f.Add("..")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		s, err := keys.Verify(token, "", "", now)
		if err == nil && token != good {
			t.Fatalf("a token that nobody signed: %v", s)
		}
		if err != nil && (len(token) > 16 && strings.Contains(err.Error(), token) || len(err.Error()) > 200) {
			t.Fatalf("the error quotes the token: %v", err)
		}
	})
}
