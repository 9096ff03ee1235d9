package tso

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/tsoring/tso/internal/wire"
)

// spreadStream is a stream to several members, each of which passes requests on to the
// leader: the TSO follower proxy. A request goes to one of them at random. Members do
// not know of each other's requests, so that only one may be unanswered at a time for
// the answers to be in order.
type spreadStream struct {
	streams []tsoStream
	turns   chan int // the streams of the unanswered requests, in order
	last    int      // the stream of the last request; of the send side
	ctx     context.Context
	cancel  context.CancelCauseFunc

	// Each stream has a reader, so that none of them says anything unnoticed: an answer
	// that nobody has asked for must not be taken for that of the next request.
	answers chan spreadAnswer
	readers sync.WaitGroup
	reading bool // of the receive side
}

// spreadAnswer is what one of the streams has received.
type spreadAnswer struct {
	from     int
	response wire.Response
	err      error
}

// newSpread returns a stream of streams, each of which has nothing unanswered, and which
// all end with cancel. ctx is what they live in.
func newSpread(ctx context.Context, cancel context.CancelCauseFunc, streams []tsoStream) *spreadStream {
	return &spreadStream{
		streams: streams,
		turns:   make(chan int, maxInFlight),
		ctx:     ctx,
		cancel:  cancel,
		answers: make(chan spreadAnswer),
	}
}

// Send implements tsoStream.
func (s *spreadStream) Send(count uint32) error {
	s.last = rand.IntN(len(s.streams))
	s.turns <- s.last // never blocks: there are fewer unanswered
	return s.streams[s.last].Send(count)
}

// Retire implements tsoStream.
func (s *spreadStream) Retire(unanswered int) {
	for i, stream := range s.streams {
		if i == s.last {
			stream.Retire(unanswered)
		} else {
			stream.Retire(0)
		}
	}
}

// Recv implements tsoStream. Its readers begin with the first call, and have ended when
// it has returned an error.
func (s *spreadStream) Recv(r *wire.Response) error {
	if !s.reading {
		s.reading = true
		for i := range s.streams {
			s.readers.Go(func() { s.read(i) })
		}
	}
	select {
	case a := <-s.answers:
		if a.err == nil && s.itsTurn(a.from) {
			*r = a.response
			return nil
		}
		if a.err == nil {
			a.err = errUnsolicited
		}
		return s.end(a.err)
	case <-s.ctx.Done():
		return s.end(nil)
	}
}

// itsTurn reports whether the next answer is due from a stream.
func (s *spreadStream) itsTurn(stream int) bool {
	select {
	case turn := <-s.turns:
		return turn == stream
	default:
		return false
	}
}

// end ends all streams, and returns why.
func (s *spreadStream) end(cause error) error {
	s.cancel(cause)
	s.readers.Wait()
	return context.Cause(s.ctx)
}

func (s *spreadStream) read(i int) {
	for {
		a := spreadAnswer{from: i}
		a.err = s.streams[i].Recv(&a.response)
		select {
		case s.answers <- a:
		case <-s.ctx.Done():
			return
		}
		if a.err != nil {
			return
		}
	}
}

// Close implements tsoStream. The streams end with the context that they live in.
func (s *spreadStream) Close(cause error) { s.cancel(cause) }
