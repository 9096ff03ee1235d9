package pdpath

import "time"

// Hold makes the path a black hole for clients, until Heal: bytes are kept, and
// connections that are made get no answer.
func (p *Path) Hold() { p.become(held) }

// Refuse resets the clients' connections, and those that they make until Heal.
func (p *Path) Refuse() {
	p.become(refused)
	p.Reset()
}

// Heal ends Hold and Refuse. What has been kept goes on its way. What Silence has
// taken stays dead.
func (p *Path) Heal() { p.become(open) }

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

func (p *Path) become(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	close(p.changed)
	p.changed = make(chan struct{})
}

// blocked returns what a client's bytes have to wait for, or nil.
func (p *Path) blocked() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == held {
		return p.changed
	}
	return nil
}
