package ring

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// BenchmarkRing and BenchmarkChannel push b.N values from the given number of
// producers to one consumer, through a ring and a channel of the same capacity.
func BenchmarkRing(b *testing.B) {
	for _, producers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			r := New[*int](65536)
			var dst [1024]*int
			throughput(b, producers, func(v *int) {
				for !r.TryPush(v) {
					runtime.Gosched()
				}
			}, func() int {
				n := r.Drain(dst[:])
				if n == 0 {
					runtime.Gosched()
				}
				return n
			})
		})
	}
}

func BenchmarkChannel(b *testing.B) {
	for _, producers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			c := make(chan *int, 65536)
			throughput(b, producers, func(v *int) { c <- v }, func() int { <-c; return 1 })
		})
	}
}

func throughput(b *testing.B, producers int, push func(*int), take func() int) {
	v := new(int)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for p := range producers {
		n := b.N / producers
		if p < b.N%producers {
			n++
		}
		wg.Go(func() {
			for range n {
				push(v)
			}
		})
	}
	for got := 0; got < b.N; {
		got += take()
	}
	wg.Wait()
}
