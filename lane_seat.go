package tso

// This file is who enters the send seat, and who has others do it.

// takeSeat serves the lane if the seat is free, and otherwise leaves a demand
// with who is in it.
func (l *lane) takeSeat() {
	if l.seat.take() {
		l.hold()
	}
}

// hold serves until nobody has asked for more. It is short: each round sends at
// most the RPCs that the flight has room for, and a full flight keeps others
// from asking.
func (l *lane) hold() {
	left := false
	defer func() {
		if !left {
			l.abandonSeat()
		}
	}()
	for !left {
		l.serve()
		left = l.seat.leave()
	}
}

// abandonSeat frees the seat of a holder whose goroutine panics or ends in it: an
// interceptor of the user's has done that in Send. The lane goes on as after any stream
// that has broken, since the batch was put in flight before it was sent. What has been
// demanded meanwhile is for the attendant, or done here if the lane has ended, as the
// attendant may have: close says that it has ended before it looks for a holder, and here
// the seat is free before the look at that.
func (l *lane) abandonSeat() {
	if f := l.adopted; f != nil {
		f.sending.Store(0)
		f.stream.Close(errSendAborted)
	}
	l.seat.vacate()
	if l.closing.Load() != nil {
		l.takeSeat()
		return
	}
	l.summon()
}

// summon has somebody serve the lane, for who may not do it himself: the holder of the
// seat, before it leaves, or the attendant. It never blocks.
func (l *lane) summon() {
	if l.seat.demand() {
		return
	}
	select {
	case l.due <- struct{}{}:
	default:
	}
}

// attend serves the lane whenever it is summoned, until the lane is closed. It is the
// attendant's goroutine.
func (l *lane) attend() {
	defer l.outlive()()
	for {
		select {
		case <-l.due:
			l.takeSeat()
		case <-l.ctx.Done():
			return
		}
	}
}

// outlive returns what a goroutine of the lane's that may send defers: should an
// interceptor of the user's end the goroutine (runtime.Goexit), the lane ends with it and
// says why. An interceptor that panics there ends the process, as in any goroutine.
func (l *lane) outlive() func() {
	return func() {
		if l.ctx.Err() == nil {
			l.close(errSendAborted)
		}
	}
}
