package yieldconn

import "time"

// farewellTime is how long the last words on a connection may take. They fit into the
// socket at once unless the peer reads nothing any more, which then does not read them
// either.
const farewellTime = 20 * time.Millisecond

// farewell returns the write deadline to set instead of t. Who sets one alone is about to
// close the connection: grpc-go gives the GOAWAY of a connection that it closes 5 s
// (goAwayLoopyWriterTimeout), and crypto/tls as long to its close notification, and whoever
// closes a connection waits for that. Both end with the deadline.
func farewell(t time.Time) time.Time {
	if soon := time.Now().Add(farewellTime); t.After(soon) {
		return soon
	}
	return t
}
