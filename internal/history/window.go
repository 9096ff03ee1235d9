package history

import (
	"container/heap"
	"sync"
)

// The window is cut into shards by the lowest bits of a timestamp, because the
// calls of a batch get neighbours and end at the same time: neighbours must not
// meet on a lock. Of the remaining bits the lower ones are a place in a page,
// the upper ones name the page.
const (
	shardBits = 4
	pageBits  = 12
	shardMask = 1<<shardBits - 1
	pageMask  = 1<<pageBits - 1
	pageBytes = 1 << pageBits / 8
)

// verdict is what a window says about a timestamp.
type verdict int

const (
	firstSeen  verdict = iota // not seen before
	seenBefore                // a duplicate
	outside                   // older than the window: cannot be told
)

// window is a set of the timestamps seen lately: a bit for each, in pages of
// which the ones with the smallest timestamps are dropped when memory runs out.
type window struct {
	shards [1 << shardBits]shard
}

// page has a bit for each of 4,096 timestamps that are 16 apart, more or less.
type page [pageBytes / 8]uint64

type shard struct {
	mu      sync.Mutex
	limit   int
	pages   map[uint64]*page // guarded by mu
	keys    keyHeap          // guarded by mu; the keys of pages, smallest first
	horizon uint64           // guarded by mu; pages below it have been dropped
	_       [64]byte         // two shards never share a cache line
}

func newWindow(bytes int) *window {
	w := new(window)
	for i := range w.shards {
		w.shards[i].limit = max(1, bytes/len(w.shards)/pageBytes)
		w.shards[i].pages = make(map[uint64]*page)
	}
	return w
}

// add puts t into the window and tells whether it was there before.
func (w *window) add(t uint64) verdict {
	// Local timestamps of one dc-location all end in the same bits. Mixing the
	// next ones in spreads them as well, and loses nothing: those are part of the
	// place in the page, from which the shard's own bits follow.
	s := &w.shards[(t^t>>shardBits)&shardMask]
	place := t >> shardBits & pageMask
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.page(t >> (shardBits + pageBits))
	if p == nil {
		return outside
	}
	word, bit := &p[place/64], uint64(1)<<(place%64)
	if *word&bit != 0 {
		return seenBefore
	}
	*word |= bit
	return firstSeen
}

// page returns the page with the given key, and makes it if there is none. It
// returns nil if the key lies below the horizon: that page may have been
// dropped, and a fresh one would call a duplicate new.
func (s *shard) page(key uint64) *page {
	if key < s.horizon {
		return nil
	}
	if p := s.pages[key]; p != nil {
		return p
	}
	p := s.room(key)
	if p == nil {
		return nil
	}
	s.pages[key] = p
	heap.Push(&s.keys, key)
	return p
}

// room returns an empty page, if need be by dropping the smallest one. It returns
// nil if the new key would itself be the smallest.
func (s *shard) room(key uint64) *page {
	if len(s.pages) < s.limit {
		return new(page)
	}
	if key < s.keys[0] {
		return nil
	}
	smallest := s.keys[0]
	heap.Pop(&s.keys)
	p := s.pages[smallest]
	delete(s.pages, smallest)
	s.horizon = smallest + 1
	*p = page{}
	return p
}

// keyHeap implements heap.Interface, smallest key first.
type keyHeap []uint64

func (h keyHeap) Len() int           { return len(h) }
func (h keyHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h keyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *keyHeap) Push(key any)      { *h = append(*h, key.(uint64)) } //nolint:errcheck // heap hands back what it was given
func (h *keyHeap) Pop() any {
	last := len(*h) - 1
	key := (*h)[last]
	*h = (*h)[:last]
	return key
}
