package event

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/inos-mesh/inos"
)

func TestSplitGuest(t *testing.T) {
	var v guestVectors
	loadVectors(t, "guest.json", &v)
	for _, c := range v.Valid {
		t.Run(c.Name, func(t *testing.T) {
			envelope, bulk, err := SplitGuest(unhex(t, c.Message))
			if err != nil || hex.EncodeToString(envelope) != c.Envelope || hex.EncodeToString(bulk) != c.Bulk {
				t.Errorf("%x, %x, %v", envelope, bulk, err)
			}
		})
	}
	for _, c := range v.Invalid {
		t.Run(c.Name, func(t *testing.T) {
			if _, _, err := SplitGuest(unhex(t, c.Input)); uint32(inos.CodeOf(err)) != c.Code {
				t.Error(err)
			}
		})
	}
	t.Run("at the bound", func(t *testing.T) {
		if _, _, err := SplitGuest(make([]byte, GuestBytesMax)); err != nil {
			t.Error(err)
		}
	})
	t.Run("above the bound", func(t *testing.T) {
		if _, _, err := SplitGuest(make([]byte, GuestBytesMax+1)); inos.CodeOf(err) != inos.CodeEnvelopeTooLarge {
			t.Error(err)
		}
	})
}

// TestSplitGuestDoesNotReachBulk: appending to the envelope must not write over the bulk behind it.
func TestSplitGuestDoesNotReachBulk(t *testing.T) {
	envelope, bulk, err := SplitGuest(AppendGuest(nil, []byte("ab"), []byte("cd")))
	if err != nil {
		t.Fatal(err)
	}
	_ = append(envelope, 'X')
	if string(bulk) != "cd" {
		t.Errorf("bulk is %q", bulk)
	}
}

func FuzzSplitGuest(f *testing.F) {
	var v guestVectors
	loadVectors(f, "guest.json", &v)
	for _, c := range v.Valid {
		f.Add(unhex(f, c.Message))
	}
	for _, c := range v.Invalid {
		f.Add(unhex(f, c.Input))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		envelope, bulk, err := SplitGuest(b)
		if err == nil && !bytes.Equal(AppendGuest(nil, envelope, bulk), b) {
			t.Fatal("joined again, the message differs")
		}
	})
}
