// Package tso is a client for the timestamp oracle (TSO) of TiKV's Placement
// Driver (PD).
//
// A distributed database gives each transaction a timestamp when it starts and
// another when it commits. The oracle grants them: unique, and larger than every
// timestamp granted before. A Client fetches them for any number of goroutines
// at once, and folds calls that come together into one request to PD.
//
//	client, err := tso.NewClient([]string{"127.0.0.1:2379"}, tso.SecurityOption{})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	physical, logical, err := client.GetTS(ctx)
//
// # What a caller is promised
//
// A timestamp is a physical time in milliseconds and a logical counter below
// 2^18; ComposeTS makes one ordered number of them. Whatever goroutine, client or
// member of the cluster is involved, no timestamp is granted twice, and a call
// that begins after another has returned gets a larger one. Futures that one
// goroutine takes one after another hold increasing timestamps, and so does a batch
// (GetTSBatch). The request to PD that brings a timestamp is sent after the call for it
// began: nothing is cached or fetched ahead. A call with a nil error has valid timestamps.
//
// A leader change or a broken connection is not an error: calls wait for the next
// stream, until their context or their request budget (WithRequestBudget) ends.
// Answers that cannot be right are thrown away, and never end the process.
//
// # Cost
//
// Once warm, GetTS, GetTSBatch, and GetTSAsync with one Wait, allocate nothing of their
// own and take no lock. What gRPC spends per request is shared by all calls that the
// request serves. An idle client wakes up once a minute.
package tso

// globalDC is the scope of GetTS. PD calls it so; on the wire it is left out.
const globalDC = "global"

// logicalBits is the number of bits of a composed timestamp that hold the
// logical part (PD, pkg/tso).
const logicalBits = 18

// ComposeTS returns the timestamp as one number that orders as timestamps do:
// physical milliseconds in the upper 46 bits, the logical counter in the lower 18.
func ComposeTS(physical, logical int64) uint64 {
	return uint64(physical)<<logicalBits + uint64(logical)
}

// ExtractTS is the inverse of ComposeTS.
func ExtractTS(ts uint64) (physical, logical int64) {
	return int64(ts >> logicalBits), int64(ts & (1<<logicalBits - 1))
}
