package api

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/inos-mesh/inos/event/eventpb"
)

// Half of all requests may be one user's, or strangers': the others are served beside them.
func TestRequestsOfOneUser(t *testing.T) {
	const limit = 4
	d, s := serve(t, Options{RequestsMax: limit})
	entered, leave := make(chan struct{}), make(chan struct{})
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.Metadata.UserId == "operator" {
			entered <- struct{}{}
			<-leave
		}
		return nil, nil
	}
	done := make(chan answer)
	for range limit / 2 {
		go func() { done <- call(t, s, "GET", "/v1/status", "") }()
		<-entered
	}
	if a := call(t, s, "GET", "/v1/version", ""); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("one more of the same user: %d %s", a.status, a.body)
	}
	if a := call(t, s, "GET", "/v1/version", "", "Authorization", "Bearer "+guestSecret); a.status != http.StatusOK {
		t.Errorf("another user: %d %s", a.status, a.body)
	}
	close(leave)
	for range limit / 2 {
		if a := <-done; a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := call(t, s, "GET", "/v1/version", ""); a.status != http.StatusOK {
		t.Errorf("when these have ended: %d %s", a.status, a.body)
	}
}

// Whoever is not let in has no place of a request while what is left of the body is waited for.
func TestRefusedHaveNoPlace(t *testing.T) {
	const limit = 2
	d, s := serve(t, Options{RequestsMax: limit, StallTimeout: time.Hour})
	for range 2 * limit {
		defer dialed(t, s, "PUT /v1/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n").Close() // the body does not come
	}
	refused := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.refused)
	}
	served := func() bool { return call(t, s, "GET", "/v1/version", "").status == http.StatusOK }
	for end := time.Now().Add(time.Minute); !served() || refused() < limit; {
		if time.Now().After(end) {
			t.Fatalf("%d were refused, and nobody else is served", refused())
		}
	}
}

// Who follows with as many clients as may keeps nobody else from it, and who has left makes room.
func TestFollowersOfOneUser(t *testing.T) {
	_, s := serve(t, Options{})
	var bodies []io.Reader
	follow := func(secret string) *http.Response {
		t.Helper()
		r, _ := http.NewRequest("GET", s.URL+"/v1/events?follow=1", nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		response, err := s.Client().Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		bodies = append(bodies, response.Body)
		return response
	}
	for i := range FollowersUserMax {
		if r := follow(guestSecret); r.StatusCode != http.StatusOK {
			t.Fatalf("follower %d: %s", i, r.Status)
		}
	}
	if r := follow(guestSecret); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("one more of the same user: %s", r.Status)
	}
	if r := follow(operatorSecret); r.StatusCode != http.StatusOK {
		t.Errorf("another user: %s", r.Status)
	}
	h := s.Config.Handler.(*Handler)
	if n := h.followers.count(); n != FollowersUserMax+1 {
		t.Errorf("%d follow", n)
	}
	h.Close()
	for _, body := range bodies { // whose end is written behind the handler's
		_, _ = io.Copy(io.Discard, body)
	}
	if n := h.followers.count(); n != 0 {
		t.Errorf("%d follow when all have ended", n)
	}
}
