package batch

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// from returns a take function that delivers the numbers from..to-1.
func from(next, to int) func([]int) int {
	return func(room []int) int {
		n := 0
		for n < len(room) && next < to {
			room[n] = next
			next++
			n++
		}
		return n
	}
}

func numbers(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func TestFillTakesAllInOrderUpToTheCap(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 9_999, 10_000} {
		var b Batch[int]
		require.Equal(t, n, b.Fill(from(0, n)))
		require.Equal(t, n, b.Len())
		require.Equal(t, numbers(0, n), append([]int(nil), b.Requests()...))
	}
	var b Batch[int]
	require.Equal(t, MaxCount, b.Fill(from(0, 3*MaxCount)))
	require.Zero(t, b.Fill(from(0, 1)))
	require.LessOrEqual(t, cap(b.requests), MaxCount)
}

func TestFillAppends(t *testing.T) {
	var b Batch[int]
	b.Fill(from(0, 10))
	require.Equal(t, 5, b.Fill(from(10, 15)))
	require.Equal(t, numbers(0, 15), b.Requests())
}

func TestFilterKeepsOrderAndForgetsTheRest(t *testing.T) {
	var b Batch[*int]
	var want []*int
	b.Fill(func(room []*int) int {
		for i := range 10 {
			room[i] = new(int)
			*room[i] = i
		}
		return 10
	})
	for _, r := range b.Requests() {
		if *r%3 != 0 {
			want = append(want, r)
		}
	}
	b.Filter(func(r *int) bool { return *r%3 != 0 })
	require.Equal(t, want, b.Requests())
	for _, r := range b.requests[len(want):10] {
		require.Nil(t, r)
	}
	b.Reset()
	require.Zero(t, b.Len())
	for _, r := range b.requests[:10] {
		require.Nil(t, r)
	}
}

func TestClaimBelongsToOneFlight(t *testing.T) {
	var b Batch[int]
	require.False(t, b.Claim(0+1), "not launched")
	first := b.Launch()
	require.True(t, b.Claim(first))
	require.False(t, b.Claim(first))
	second := b.Launch()
	require.NotEqual(t, first, second)
	require.False(t, b.Claim(first), "an old flight's claim must not win the new flight")
	require.True(t, b.Claim(second))
}

func TestClaimHasOneWinner(t *testing.T) {
	var b Batch[int]
	for range 2000 {
		flight := b.Launch()
		var wins atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if b.Claim(flight) {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, wins.Load())
	}
}

func TestLentBatchIsSettledByItsBorrower(t *testing.T) {
	var b Batch[int]
	require.False(t, b.Borrow(b.Launch()+1), "not in flight under this number")
	number := b.launch.Load()
	require.True(t, b.Borrow(number))
	require.False(t, b.Claim(number), "lent")
	require.False(t, b.Borrow(number), "lent already")
	require.True(t, b.Return(number))
	require.True(t, b.Settle(number), "in flight again")
	require.False(t, b.Borrow(number), "claimed")

	number = b.Launch()
	require.True(t, b.Borrow(number))
	require.False(t, b.Settle(number))
	require.False(t, b.Return(number), "the answer has come")
	require.False(t, b.Claim(number))

	number = b.Launch()
	require.True(t, b.Borrow(number))
	b.Keep(number)
	require.False(t, b.Settle(number), "kept")
	again := b.Launch()
	require.False(t, b.Settle(number), "an old flight's answer must not win the new flight")
	require.True(t, b.Claim(again))
}

// A receiver and a borrower at the same time: the requests that the borrower takes
// out and those that the answer serves are all of them, each once.
func TestEachRequestOfALentBatchIsFinishedOnce(t *testing.T) {
	const requests = 8
	var lentAt, answeredAt int
	for round := range 20_000 {
		var b Batch[*int]
		finished := make([]int, requests)
		b.Fill(func(room []*int) int {
			for i := range finished {
				room[i] = &finished[i]
			}
			return requests
		})
		number := b.Launch()
		var wg sync.WaitGroup
		answer := 0 // as in a slot: written by the receiver, read after Return
		finish := func() {
			for _, r := range b.Requests() {
				*r++
			}
		}
		wg.Go(func() {
			mine := b.Claim(number)
			if !mine {
				answer = round + 1
				mine = b.Settle(number)
			}
			if mine {
				finish()
			}
		})
		if b.Borrow(number) {
			lentAt++
			b.Filter(func(r *int) bool {
				if r == &finished[0] {
					*r++
					return false
				}
				return true
			})
			if round%2 == 0 {
				runtime.Gosched() // give the answer time to come
			}
			if !b.Return(number) {
				answeredAt++
				require.Equal(t, round+1, answer)
				finish()
			}
		}
		wg.Wait()
		for i := range finished {
			require.Equal(t, 1, finished[i], "request %d", i)
		}
	}
	t.Logf("lent in %d rounds, answered meanwhile in %d", lentAt, answeredAt)
}

func TestPolicy(t *testing.T) {
	for _, tc := range []struct {
		name     string
		policy   Policy
		waiting  int
		inFlight int
		expired  bool
		want     Decision
	}{
		{"nothing to send", Policy{MaxInFlight: 1}, 0, 0, false, Hold},
		{"nothing to send at the end of the interval", Policy{MaxInFlight: 1, Linger: true, Target: 8}, 0, 0, true, Hold},
		{"first request goes at once", Policy{MaxInFlight: 1}, 1, 0, false, Cut},
		{"enough in flight", Policy{MaxInFlight: 2}, 9, 2, false, Hold},
		{"enough in flight, interval over", Policy{MaxInFlight: 2, Linger: true}, 9, 2, true, Hold},
		{"room in flight", Policy{MaxInFlight: 2}, 9, 1, false, Cut},
		{"lingers for company", Policy{MaxInFlight: 2, Linger: true, Target: 8}, 7, 0, false, Wait},
		{"company has come", Policy{MaxInFlight: 2, Linger: true, Target: 8}, 8, 0, false, Cut},
		{"interval over", Policy{MaxInFlight: 2, Linger: true, Target: 8}, 1, 0, true, Cut},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, tc.policy.Decide(tc.waiting, tc.inFlight, tc.expired))
		})
	}
}

func TestDepth(t *testing.T) {
	for roundTrip, want := range map[time.Duration]int32{
		0:                       2,
		100 * time.Microsecond:  2,
		1100 * time.Microsecond: 2,
		2200 * time.Microsecond: 4,
		10 * time.Millisecond:   17,
		time.Minute:             64,
	} {
		require.Equal(t, want, Depth(roundTrip), "%v", roundTrip)
	}
}

// The formula as PD's protocol states it, in signed arithmetic, against the
// range.
func TestShareFollowsTheProtocol(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.Uint32Range(0, 4).Draw(t, "suffix bits")
		count := rapid.Uint32Range(1, MaxCount).Draw(t, "count")
		least := int64(count-1) << bits
		logical := rapid.Int64Range(least, 1<<18-1).Draw(t, "logical")
		physical := rapid.Int64Range(1, 1<<46-1).Draw(t, "physical")
		r := Share(physical, logical, count, bits)
		for _, i := range []int{0, int(count) / 2, int(count) - 1} {
			want := logical + int64(i-int(count)+1)<<bits
			got := r.At(i)
			if int64(got>>18) != physical || int64(got&(1<<18-1)) != want {
				t.Fatalf("request %d: got (%d, %d), want (%d, %d)", i, got>>18, got&(1<<18-1), physical, want)
			}
		}
	})
}
