package api

import (
	"io"
	"net/http"
	"testing"
)

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
