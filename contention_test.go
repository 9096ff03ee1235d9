package tso_test

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// The profiles of 512 callers must show nobody waiting for a lock of ours: neither
// who held it (the mutex profile) nor who waited (the block profile). `make
// contention` prints what they show.
func TestContentionIsNotOurs(t *testing.T) {
	s := tsotest.New(t)
	c, err := tso.NewClient(s.URLs(), tso.SecurityOption{})
	require.NoError(t, err)
	defer c.Close()
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, call := range map[string]func(){
		"GetTS": func() {
			_, _, err := c.GetTS(context.Background())
			fail(t, err)
		},
		"GetTS with a context that all share": func() {
			_, _, err := c.GetTS(cancellable)
			fail(t, err)
		},
		"GetTSAsync and Wait": func() {
			first, second := c.GetTSAsync(context.Background()), c.GetTSAsync(context.Background())
			_, _, err := first.Wait()
			fail(t, err)
			_, _, err = second.Wait()
			fail(t, err)
		},
		"GetTSBatch": func() {
			_, err := c.GetTSBatch(cancellable, 30)
			fail(t, err)
		},
		"Stats": func() {
			_, _, err := c.GetTS(context.Background())
			fail(t, err)
			_ = c.Stats()
		},
	} {
		t.Run(name, func(t *testing.T) {
			const callers, calls = 512, 100
			crowd(callers, 2, call) // the first calls of a client may take locks
			for _, l := range profileLocks(func() { crowd(callers, calls, call) }) {
				t.Logf("%s by %s: %d waits, %d kilocycles (%s)", l.kind, l.owner, l.waits, l.cycles/1000, l.lock)
				require.False(t, l.isOurs(), "contention inside the library: %+v", l)
			}
		})
	}
}

// A mutex in a function that counts as ours must show in both profiles.
func TestContentionShowsAPlantedLock(t *testing.T) {
	var lock sync.Mutex
	seen := profileLocks(func() {
		crowd(64, 200, func() {
			lock.Lock()
			runtime.Gosched()
			lock.Unlock()
		})
	})
	var held, waited bool
	for _, l := range seen {
		if strings.Contains(l.owner, "PlantedLock") {
			held, waited = held || l.kind == "held", waited || l.kind == "waited for"
			require.True(t, l.inCall, "%+v", l)
		}
	}
	require.True(t, held, "not in the mutex profile: %v", seen)
	require.True(t, waited, "not in the block profile: %v", seen)
}

func TestContentionCountsWhatCallsAndAnswersWaitFor(t *testing.T) {
	for _, tc := range []struct {
		owner  string
		inCall bool
		ours   bool
	}{
		{"github.com/tsoring/tso.(*lane).look", true, true},
		{"github.com/tsoring/tso.(*lane).look", false, true},
		{"github.com/tsoring/tso/ring.(*MPSC).TryPush", false, true},
		{"github.com/tsoring/tso/member.(*connections).get", true, true},
		{"github.com/tsoring/tso/member.(*connections).get", false, false},
		{"github.com/tsoring/tso/tsotest.(*Server).Stats", true, false},
		{"google.golang.org/grpc/internal/transport.(*controlBuffer).put", true, false},
	} {
		require.Equal(t, tc.ours, contended{owner: tc.owner, inCall: tc.inCall}.isOurs(), "%+v", tc)
	}
}

func fail(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

// crowd lets callers goroutines make calls calls each.
func crowd(callers, calls int, call func()) {
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				call()
			}
		})
	}
	wg.Wait()
}

// contended is a place in the program where goroutines have waited for a lock.
type contended struct {
	kind  string // held, or waited for
	lock  string // what unlocks or locks: of sync, or of the runtime
	owner string // the function that the lock belongs to: who calls that
	// inCall says that it was a goroutine of crowd's that waited, or let others wait.
	inCall bool
	waits  int64
	// cycles of the processor that they have waited for, together.
	cycles int64
}

// isOurs says whether the lock is one that the library takes. What the runtime's
// functions lock for us (a channel, the scheduler) and what grpc-go and sync.Pool
// lock is theirs, wherever they were called from. Package member has a mutex around its
// connections, for who opens a stream; where the machine makes an answer late the client
// opens several at once, beside the calls. So there only what is in a call counts.
func (c contended) isOurs() bool {
	const module = "github.com/tsoring/tso"
	switch {
	case strings.HasPrefix(c.owner, module+"/tsotest."):
		return false
	case strings.HasPrefix(c.owner, module+"/member."):
		return c.inCall
	default:
		return strings.HasPrefix(c.owner, module+".") || strings.HasPrefix(c.owner, module+"/")
	}
}

// profileLocks runs f and returns where locks have been waited for meanwhile.
func profileLocks(f func()) []contended {
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	before := append(profile("held", runtime.MutexProfile), profile("waited for", runtime.BlockProfile)...)
	f()
	after := append(profile("held", runtime.MutexProfile), profile("waited for", runtime.BlockProfile)...)
	sum := make(map[contended]contended)
	add := func(c contended, sign int64) {
		key := contended{kind: c.kind, lock: c.lock, owner: c.owner, inCall: c.inCall}
		total := sum[key]
		c.waits, c.cycles = total.waits+sign*c.waits, total.cycles+sign*c.cycles
		sum[key] = c
	}
	for _, c := range before { // the profiles grow for as long as the process lives
		add(c, -1)
	}
	for _, c := range after {
		add(c, 1)
	}
	seen := slices.DeleteFunc(slices.Collect(maps.Values(sum)), func(c contended) bool { return c.waits <= 0 })
	slices.SortFunc(seen, func(a, b contended) int { return cmp.Compare(b.cycles, a.cycles) })
	return seen
}

// profile reads a profile, without what waits for something else than a lock.
func profile(kind string, read func([]runtime.BlockProfileRecord) (int, bool)) []contended {
	var records []runtime.BlockProfileRecord
	n, ok := read(nil)
	for !ok {
		records = make([]runtime.BlockProfileRecord, n+50)
		n, ok = read(records)
	}
	var all []contended
	for _, r := range records[:n] {
		c := contended{kind: kind, waits: r.Count, cycles: r.Cycles}
		if c.lock, c.owner, c.inCall = lockOf(r.Stack()); c.lock != "" {
			all = append(all, c)
		}
	}
	return all
}

// lockOf returns the lock's own function in a stack, "" if it has none, the one that
// called it, and whether crowd called that.
func lockOf(stack []uintptr) (lock, owner string, inCall bool) {
	frames := runtime.CallersFrames(stack)
	for {
		frame, more := frames.Next()
		name := frame.Function
		switch {
		case strings.HasPrefix(name, "github.com/tsoring/tso_test.crowd."):
			inCall = true
		case owner != "":
		case strings.Contains(name, "sync.(*Mutex)."), strings.Contains(name, "sync.(*RWMutex)."), strings.HasPrefix(name, "runtime.unlock"):
			lock = name
		case lock != "":
			owner = name
		}
		if !more {
			return lock, owner, inCall
		}
	}
}
