package api

import (
	"mime"
	"path"
	"testing"

	"github.com/inos-mesh/inos"
)

func TestDisposition(t *testing.T) {
	for _, c := range []struct{ path, media, want string }{
		{"/a/b c.txt", "text/plain; charset=utf-8", `inline; filename="b c.txt"`},
		{"/a.html", "text/html", `attachment; filename="a.html"`},
		{"/a.svg", "image/svg+xml", `attachment; filename="a.svg"`},
		{"/a", "", `attachment; filename="a"`},
		{"/naïve €.txt", "text/plain", `inline; filename="na_ve _.txt"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt`},
		{`/a"b\c%41.txt`, "x/y", `attachment; filename="a_b_c_41.txt"; filename*=UTF-8''a%22b%5Cc%2541.txt`},
		{"/x; filename=evil.exe", "x/y", `attachment; filename="x; filename=evil.exe"`},
		{"/it's (1)*.txt€", "x/y", `attachment; filename="it's (1)*.txt_"; filename*=UTF-8''it%27s%20%281%29%2A.txt%E2%82%AC`},
	} {
		got := disposition(inos.Path(c.path), c.media)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
}

// What a client reads in a Content-Disposition is the last element of the path, whatever it is made of.
func FuzzDisposition(f *testing.F) {
	for _, s := range []string{"/a", `/a"; x="`, "/ü%", "/\u202egnp.exe", "/a\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if inos.CheckPath(inos.Path(s)) != nil {
			return
		}
		value := disposition(inos.Path(s), "text/plain")
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				t.Fatalf("%q: %q", s, value)
			}
		}
		_, parameters, err := mime.ParseMediaType(value)
		if want := path.Base(s); err != nil || parameters["filename"] != want && value != `inline; filename="`+want+`"` {
			t.Fatalf("%q: %s is read as %q, %v", s, value, parameters["filename"], err)
		}
	})
}
