package office

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Steps of a table.
func told(holder string, revision int64) func(*Office) bool {
	return func(o *Office) bool { return o.Told(holder, revision) }
}

func vacant(revision int64) func(*Office) bool {
	return func(o *Office) bool { return o.Vacant(revision) }
}

func refute(who string) func(*Office) bool {
	return func(o *Office) bool { return o.Refute(who) }
}

func serves(who string) func(*Office) bool {
	return func(o *Office) bool { return o.Serves(who) }
}

type step struct {
	do      func(*Office) bool
	changed bool
	state   State
	holder  string
}

func TestOffice(t *testing.T) {
	for name, steps := range map[string][]step{
		"a leader resigns": {
			{told("a", 10), true, Named, "a"},
			{vacant(20), true, Nobody, ""},
			{told("b", 21), true, Named, "b"},
		},
		"the same leader is elected again": {
			{told("a", 10), true, Named, "a"},
			{told("a", 21), true, Named, "a"},
		},
		"no quorum: silence, then news": {
			{told("a", 10), true, Named, "a"},
			{refute("a"), true, Refuted, "a"},
			{refute("a"), false, Refuted, "a"},
			{vacant(20), true, Nobody, ""},
			{refute("a"), false, Nobody, ""},
			{told("a", 21), true, Named, "a"},
		},
		"no quorum for a moment": {
			{told("a", 10), true, Named, "a"},
			{refute("a"), true, Refuted, "a"},
			{serves("a"), true, Named, "a"},
			{serves("a"), false, Named, "a"},
		},
		"a second watch knows what the first one does": {
			{told("a", 10), true, Named, "a"},
			{refute("a"), true, Refuted, "a"},
			{told("a", 10), false, Refuted, "a"},
		},
		"a second watch knows more": {
			{told("a", 10), true, Named, "a"},
			{refute("a"), true, Refuted, "a"},
			{told("b", 21), true, Named, "b"},
			{vacant(20), false, Named, "b"}, // the first one, when it goes on
			{told("b", 21), false, Named, "b"},
		},
		"a watch that is behind": {
			{told("b", 21), true, Named, "b"},
			{told("a", 10), false, Named, "b"},
			{vacant(20), false, Named, "b"},
		},
		"a refutation that comes late": {
			{told("a", 10), true, Named, "a"},
			{told("b", 21), true, Named, "b"},
			{refute("a"), false, Named, "b"},
		},
		"somebody else serves": {
			{told("a", 10), true, Named, "a"},
			{serves("b"), true, Refuted, "a"},
			{serves("b"), false, Refuted, "a"},
			{vacant(20), true, Nobody, ""},
			{serves("b"), false, Nobody, ""},
			{told("b", 21), true, Named, "b"},
		},
		"vacant for long": {
			{vacant(5), true, Nobody, ""},
			{vacant(9), false, Nobody, ""},
			{told("a", 8), false, Nobody, ""},
			{told("a", 10), true, Named, "a"},
		},
		"the watch is lost, the cluster restored": {
			{serves("a"), false, Unwatched, ""},
			{refute(""), false, Unwatched, ""},
			{told("a", 10), true, Named, "a"},
			{(*Office).Unwatch, true, Unwatched, ""},
			{(*Office).Unwatch, false, Unwatched, ""},
			{refute("a"), false, Unwatched, ""},
			{told("b", 3), true, Named, "b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var o Office
			for i, s := range steps {
				require.Equal(t, s.changed, s.do(&o), "step %d", i)
				require.Equal(t, s.state, o.State(), "step %d: %v", i, o.State())
				require.Equal(t, s.holder, o.Holder(), "step %d", i)
			}
		})
	}
}

// Whatever the order in which watches tell the history of a key, and who is refuted meanwhile, the
// end is that of the history: nobody, or who was named last, believed or not.
func TestOffice_OrderOfWatchesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b"}), 1, 8).Draw(t, "history")
		seen := make([]bool, len(history))
		var o Office
		tell := func(i int) {
			seen[i] = true
			if history[i] == "" {
				o.Vacant(int64(i + 1))
			} else {
				o.Told(history[i], int64(i+1))
			}
		}
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			i := rapid.IntRange(-2, len(history)-1).Draw(t, "step")
			switch i {
			case -2:
				o.Serves(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "who"))
			case -1:
				o.Refute(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "who"))
			default:
				tell(i)
			}
			last := len(seen) - 1
			for last >= 0 && !seen[last] {
				last--
			}
			switch {
			case last < 0:
				require.Equal(t, Unwatched, o.State())
			case history[last] == "":
				require.Equal(t, Nobody, o.State())
			default:
				require.Equal(t, history[last], o.Holder())
				require.Contains(t, []State{Named, Refuted}, o.State())
			}
		}
	})
}
