package pdpath

import "time"

// Hold makes the path a black hole for clients, until Heal: bytes are kept, and
// connections that are made get no answer.
func (p *Path) Hold() { p.enter(held) }

// Refuse resets the clients' connections, and those that they make until Heal.
func (p *Path) Refuse() {
	p.enter(refused)
	p.Reset()
}

// Shut resets the clients' connections, and has nobody listen until Heal: members cannot
// connect either, but keep the connections that they have.
func (p *Path) Shut() {
	p.enter(shut)
	p.Reset()
}

// Drop has the path drop packets until Heal, those of new connections too, members' included:
// to connect brings no answer. What is sent on the connections that clients have is sent again
// as TCP does, after 0.2 s and then after twice as long each time, and so goes on its way
// some time after Heal. It returns when that is so.
func (p *Path) Drop() {
	p.mu.Lock()
	if p.state == dropped || p.links == nil {
		p.mu.Unlock()
		return
	}
	p.become(dropped)
	p.dropping = make(chan struct{})
	dropping, changed := p.dropping, p.changed
	p.interrupt()
	p.mu.Unlock()
	select {
	case <-dropping:
	case <-changed:
	}
}

// Heal ends Hold, Drop, Refuse and Shut. What has been kept goes on its way. What Silence has
// taken stays dead.
func (p *Path) Heal() { p.enter(open) }

// Reset breaks the connections that clients have now, by RST.
func (p *Path) Reset() {
	for _, l := range p.clientLinks() {
		l.reset()
	}
}

// Silence makes the connections that clients have now go dead without a sign, for
// ever; new ones work. So does a lost NAT entry.
func (p *Path) Silence() {
	for _, l := range p.clientLinks() {
		l.silent.Store(true)
	}
}

// SetDelay makes all that clients and the member send each other take d longer,
// each way. What is under way already is not held up. Timers of an idle process may
// be up to 1 ms late.
func (p *Path) SetDelay(d time.Duration) { p.delay.Store(int64(d)) }

func (p *Path) enter(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == shut {
		_ = p.listener.Close() // it can only be closed already
	}
	p.become(s)
}

// become is called under mu.
func (p *Path) become(s state) {
	p.state = s
	close(p.changed)
	p.changed = make(chan struct{})
}

// blocked returns what a client's bytes have to wait for, or nil, and whether they are lost
// meanwhile.
func (p *Path) blocked() (changed <-chan struct{}, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == held || p.state == dropped {
		return p.changed, p.state == dropped
	}
	return nil, false
}
