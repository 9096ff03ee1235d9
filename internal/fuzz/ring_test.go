package fuzz

import (
	"testing"

	"github.com/tsoring/tso/ring"
)

// FuzzRing drives a ring and a slice with the same operations: each byte is a
// push (even) or a drain of up to byte/2 values (odd).
func FuzzRing(f *testing.F) {
	f.Add(uint8(4), []byte{0, 0, 0, 0, 0, 5, 0, 0, 255})
	f.Add(uint8(1), []byte{0, 3, 0, 3, 0, 3, 0, 3})
	f.Add(uint8(16), []byte{1, 1, 0, 1, 0})
	f.Fuzz(func(t *testing.T, capacity uint8, ops []byte) {
		r := ring.New[int](int(capacity))
		var model []int
		dst := make([]int, 128)
		for i, op := range ops {
			if op%2 == 0 {
				pushed := r.TryPush(i)
				if pushed != (len(model) < r.Cap()) {
					t.Fatalf("operation %d: push says %v with %d of %d places taken", i, pushed, len(model), r.Cap())
				}
				if pushed {
					model = append(model, i)
				}
				continue
			}
			n := r.Drain(dst[:op/2])
			if want := min(int(op/2), len(model)); n != want {
				t.Fatalf("operation %d: drained %d, want %d", i, n, want)
			}
			for k := range n {
				if dst[k] != model[k] {
					t.Fatalf("operation %d: got %d, want %d", i, dst[k], model[k])
				}
			}
			model = model[n:]
			if r.Len() != len(model) {
				t.Fatalf("operation %d: length %d, want %d", i, r.Len(), len(model))
			}
		}
	})
}
