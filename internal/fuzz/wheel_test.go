package fuzz

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tsoring/tso/internal/wheel/wheeltest"
)

// wheelOp is the length of one step in the input of FuzzWheel: kind and unit,
// the two timers, and a count of units.
const wheelOp = 4

// wheelUnits are the units of a step's duration: finer than a tick, a tick, a
// revolution, longer.
var wheelUnits = [8]time.Duration{
	time.Nanosecond, 25 * time.Microsecond, time.Millisecond, 1024 * time.Millisecond,
	time.Second, time.Minute, 24 * time.Hour, 1 << 47,
}

// wheelProgram reads a program from data. All data is a program; what is left
// over at the end is ignored.
func wheelProgram(data []byte) []wheeltest.Op {
	const longest = 1000
	ops := make([]wheeltest.Op, 0, len(data)/wheelOp)
	for ; len(data) >= wheelOp && len(ops) < longest; data = data[wheelOp:] {
		count := int16(binary.LittleEndian.Uint16(data[2:]))
		ops = append(ops, wheeltest.Op{
			Kind:  wheeltest.Kind(data[0]) % wheeltest.Kinds,
			Timer: int(data[1]) % wheeltest.Timers,
			Other: int(data[1]>>4) % wheeltest.Timers,
			D:     time.Duration(count) * wheelUnits[data[0]>>5],
		})
	}
	return ops
}

// wheelStep is the inverse of wheelProgram for one step with a timer, its other
// one, and count units.
func wheelStep(kind wheeltest.Kind, unit, timer, other byte, count int16) []byte {
	first := unit << 5
	for wheeltest.Kind(first)%wheeltest.Kinds != kind {
		first++
	}
	return binary.LittleEndian.AppendUint16([]byte{first, other<<4 | timer}, uint16(count))
}

func FuzzWheel(f *testing.F) {
	seed := func(steps ...[]byte) {
		var data []byte
		for _, step := range steps {
			data = append(data, step...)
		}
		f.Add(data)
	}
	const ns, tick, revolution, day = 0, 2, 3, 6
	const reset, stop, sleep = wheeltest.Reset, wheeltest.Stop, wheeltest.Sleep
	seed()
	// Fire, and stop too late; stop in time.
	seed(wheelStep(reset, tick, 0, 0, 5), wheelStep(sleep, tick, 0, 0, 5), wheelStep(stop, 0, 0, 0, 0),
		wheelStep(reset, tick, 0, 0, 5), wheelStep(stop, 0, 0, 0, 0), wheelStep(sleep, tick, 0, 0, 9))
	// Two revolutions in one slot; the later one moves to the earlier tick.
	seed(wheelStep(reset, tick, 0, 0, 7), wheelStep(reset, tick, 1, 0, 1031), wheelStep(reset, tick, 1, 0, 7),
		wheelStep(sleep, revolution, 0, 0, 2))
	// Later, earlier, stopped and armed again, all while linked.
	seed(wheelStep(reset, tick, 3, 0, 10), wheelStep(reset, tick, 3, 0, 20), wheelStep(reset, tick, 3, 0, 4),
		wheelStep(stop, 0, 3, 0, 0), wheelStep(reset, tick, 3, 0, 15), wheelStep(sleep, tick, 0, 0, 12),
		wheelStep(sleep, day, 0, 0, 1))
	// Functions that reset themselves to now and stop a neighbour that is due,
	// too.
	seed(wheelStep(wheeltest.OnReset, ns, 0, 0, -1), wheelStep(wheeltest.OnStop, 0, 1, 2, 0),
		wheelStep(reset, tick, 0, 0, 1), wheelStep(reset, tick, 1, 0, 1), wheelStep(reset, tick, 2, 0, 1),
		wheelStep(sleep, tick, 0, 0, 3))
	// The end of time.
	seed(wheelStep(reset, 7, 0, 0, 32767), wheelStep(reset, 7, 1, 0, -32768), wheelStep(sleep, day, 0, 0, 10))

	f.Fuzz(func(t *testing.T, data []byte) {
		ops := wheelProgram(data)
		synctest.Test(t, func(t *testing.T) {
			if err := wheeltest.Run(ops); err != nil {
				t.Fatalf("%v\nprogram: %v", err, ops)
			}
		})
	})
}
