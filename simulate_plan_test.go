package tso

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// simPlan is what a seed decides before anything runs.
type simPlan struct {
	seed    uint64
	profile simProfile

	members int
	dcs     []string
	clients int
	callers int
	busy    time.Duration // the callers' longest pause between two calls

	timeout  time.Duration // of an RPC
	budget   time.Duration // of a request
	capacity int           // of a ring
	latency  time.Duration // of a healthy answer

	forwarding bool
	proxy      bool // from the beginning
	unwatched  bool // no member lets itself be watched
	// grid: all callers call at whole multiples of this, so that they meet; 0 for none.
	grid time.Duration

	faults []simFault
	healed time.Duration // when the faults end
	// ended is when the clients are closed in the middle of it all, 0 for when all is
	// calm again.
	ended time.Duration
	// cancel: the clients end with their context instead of by Close.
	cancel bool
}

// simFault is one fault and its end. Where it hits is decided when it does, by what
// there is at that time and the numbers of its own source: that depends on the faults
// before it and on nothing else.
type simFault struct {
	kind     simKind
	from, to time.Duration
	seed     uint64
}

func (f simFault) rand() *rand.Rand { return rand.New(rand.NewPCG(f.seed, 1)) }

// Limits of the plan.
const (
	simLongBudget = 5 * time.Minute // longer than any plan
	simCalm       = time.Second     // after the faults
)

func newSimPlan(seed uint64) *simPlan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := &simPlan{
		seed:     seed,
		profile:  simProfiles[r.IntN(len(simProfiles))],
		members:  1 + r.IntN(4),
		clients:  1 + r.IntN(2),
		callers:  1 + r.IntN(6),
		busy:     simUpTo(r, 50*time.Millisecond, 3*time.Second),
		timeout:  pick(r, defaultTimeout, defaultTimeout, 500*time.Millisecond, time.Second),
		budget:   pick(r, simLongBudget, simLongBudget, defaultBudget, 200*time.Millisecond, 2*time.Second),
		capacity: pick(r, 256, 256, 4, 2048),
		latency:  pick(r, 0, 0, 100*time.Microsecond, 2*time.Millisecond, 30*time.Millisecond),
		healed:   simUpTo(r, 500*time.Millisecond, pick(r, 10*time.Second, 10*time.Second, 10*time.Second, 40*time.Second)),
		cancel:   r.IntN(4) == 0,

		forwarding: r.IntN(2) == 0,
		proxy:      r.IntN(4) == 0,
		grid:       pick(r, 0, 0, time.Millisecond, 20*time.Millisecond),
	}
	for i := range pick(r, 0, 1, 1, 3) {
		p.dcs = append(p.dcs, fmt.Sprintf("dc-%d", i+1))
	}
	if p.profile.onlyDC {
		p.members, p.dcs = max(p.members, 2), []string{"dc-1", "dc-2"}
	}
	if r.IntN(6) == 0 {
		p.ended = time.Duration(r.Int64N(int64(p.healed)))
	}
	p.unwatched = r.IntN(3) == 0
	p.planFaults(r)
	return p
}

// planFaults spreads faults over the time until everything is healed.
func (p *simPlan) planFaults(r *rand.Rand) {
	pause := simUpTo(r, 50*time.Millisecond, 2*time.Second)
	longest := simUpTo(r, 100*time.Millisecond, 10*time.Second)
	for at := time.Duration(0); ; {
		at += 1 + time.Duration(r.Int64N(int64(2*pause)))
		if at >= p.healed || len(p.faults) == 100 {
			return
		}
		to := at + simUpTo(r, time.Millisecond, longest)
		p.faults = append(p.faults, simFault{
			kind: pick(r, p.profile.kinds...),
			from: at,
			to:   min(to, p.healed),
			seed: r.Uint64(),
		})
	}
}

// steps returns the beginnings and ends of all faults in the order of their times.
func (p *simPlan) steps() []simStep {
	var steps []simStep
	for i, f := range p.faults {
		steps = append(steps, simStep{f.from, i, true}, simStep{f.to, i, false})
	}
	slices.SortStableFunc(steps, func(a, b simStep) int { return int(a.at - b.at) })
	return steps
}

// simStep is the beginning or the end of a fault.
type simStep struct {
	at     time.Duration
	fault  int
	begins bool
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// simUpTo draws a duration between least and most. Each doubling is as likely as the
// next, so that short ones are not rare.
func simUpTo(r *rand.Rand, least, most time.Duration) time.Duration {
	doublings := math.Log2(float64(most) / float64(least))
	return time.Duration(float64(least) * math.Exp2(r.Float64()*doublings))
}
