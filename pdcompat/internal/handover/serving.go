package handover

import "github.com/tsoring/tso"

// Serving returns a Handover whose calls the given client serves, for good. It is for tests
// of what the adapters add to a call.
func Serving(client tso.Client) *Handover {
	h := New(Config{})
	h.client = client
	h.begin(ours, "")
	return h
}
