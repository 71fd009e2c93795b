package api

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

// Whoever follows from behind an event that this history has not reached has followed one before it, which was moved away: all of this one is new.
func TestHistoryThatBeganAnew(t *testing.T) {
	d, s := serve(t, Options{})
	d.record(inos.Event{ID: "1", Type: "files:put:v1:completed", Path: "/first"})
	r, _ := http.NewRequest("GET", s.URL+"/v1/events?follow=1", nil)
	r.Header.Set("Authorization", "Bearer "+operatorSecret)
	r.Header.Set("Last-Event-ID", "50000")
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	d.record(inos.Event{ID: "2", Type: "files:put:v1:completed", Path: "/second"})
	lines := bufio.NewScanner(response.Body)
	for _, want := range []string{`"path":"/first"`, `"path":"/second"`} {
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
		}
		if !strings.Contains(lines.Text(), want) {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
	}
	if a := call(t, s, "GET", "/v1/events?after=2", ""); a.body != "" {
		t.Errorf("behind the newest: %q", a.body)
	}
}
