package wheel

import (
	"fmt"
	"testing"
	"time"
)

// Each goroutine has a timer of its own, as a pooled request has, arms it for
// the request's budget and stops it. Run with -cpu 1,2,8,64 for more goroutines
// than cores.
func BenchmarkResetStop(b *testing.B) {
	const budget = 20 * time.Second
	b.Run("wheel", func(b *testing.B) {
		w := New()
		defer w.Close()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			var timer Timer
			timer.Init(w, func() {})
			for pb.Next() {
				timer.Reset(budget)
				timer.Stop()
			}
		})
	})
	b.Run("time.AfterFunc kept", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			timer := time.AfterFunc(budget, func() {})
			for pb.Next() {
				timer.Reset(budget)
				timer.Stop()
			}
		})
	})
	b.Run("time.AfterFunc new", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				time.AfterFunc(budget, func() {}).Stop()
			}
		})
	})
}

// Reset of a timer that stays armed, as for the deadline of the oldest batch:
// each time later than before.
func BenchmarkResetLater(b *testing.B) {
	b.Run("wheel", func(b *testing.B) {
		w := New()
		defer w.Close()
		b.RunParallel(func(pb *testing.PB) {
			var timer Timer
			timer.Init(w, func() {})
			for pb.Next() {
				timer.Reset(3 * time.Second)
			}
			timer.Stop()
		})
	})
	b.Run("time.AfterFunc kept", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			timer := time.AfterFunc(3*time.Second, func() {})
			for pb.Next() {
				timer.Reset(3 * time.Second)
			}
			timer.Stop()
		})
	})
}

// The slow path: the wheel knows none of the timers, so each Reset pushes, and
// some wake the wheel.
func BenchmarkResetFirst(b *testing.B) {
	w := New()
	defer w.Close()
	b.RunParallel(func(pb *testing.PB) {
		const block = 1024
		var timers []Timer
		for n := block; pb.Next(); n++ {
			if n == block {
				n, timers = 0, make([]Timer, block)
			}
			timers[n].Init(w, func() {})
			timers[n].Reset(time.Second)
			timers[n].Stop()
		}
	})
}

// What a wake-up costs the wheel with so many timers of 20 s linked, of which
// those of one tick are due: the price of slotCount.
func BenchmarkAdvance(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWheel() // the goroutine's part is played by this one
			timers := make([]Timer, n)
			const span = 20_000
			for i := range timers {
				timers[i].Init(w, func() {})
				at := int64(1 + i*span/n)
				timers[i].when.Store(at)
				timers[i].visit.Store(at)
				w.link(&timers[i], at)
			}
			b.ResetTimer()
			for range b.N {
				now := w.next
				// Those that are due move on by the span, as pooled requests
				// do.
				for t := w.slots[now%slotCount].head; t != nil; t = t.next {
					if t.at == now {
						t.when.Store(now + span)
					}
				}
				w.advance(now)
			}
		})
	}
}
