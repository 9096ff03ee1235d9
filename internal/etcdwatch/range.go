package etcdwatch

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
)

// Range returns what keys hold by the knowledge of the member that conn leads to, all at one
// revision. The member asks no other: without a quorum it answers all the same, and after a
// restart it names who led before. keys must be different, and not empty.
func Range(ctx context.Context, conn grpc.ClientConnInterface, keys []string) (Snapshot, error) {
	if err := checkKeys(keys); err != nil {
		return Snapshot{}, err
	}
	now := Snapshot{Events: make([]Event, 0, len(keys))}
	for i, key := range keys {
		r, err := rangeOne(ctx, conn, key, now.Revision)
		if err != nil {
			return Snapshot{}, err
		}
		if i == 0 {
			now.Header = r.Header
		}
		if err := now.sameMember(r.Header); err != nil {
			return Snapshot{}, err
		}
		e, err := r.event(key, now.Revision)
		if err != nil {
			return Snapshot{}, err
		}
		now.Events = append(now.Events, e)
	}
	return now, nil
}

func checkKeys(keys []string) error {
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if key == "" || seen[key] {
			return fmt.Errorf("%w: %q", ErrKeys, key)
		}
		seen[key] = true
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: there are none", ErrKeys)
	}
	return nil
}

// rangeOne asks for a key at a revision, 0 for the latest.
func rangeOne(ctx context.Context, conn grpc.ClientConnInterface, key string, revision int64) (RangeResponse, error) {
	request := appendRange(nil, key, revision)
	var message []byte
	if err := conn.Invoke(ctx, rangeMethod, &request, &message, options()...); err != nil {
		return RangeResponse{}, explain(ctx, err)
	}
	return DecodeRange(message)
}

// event returns what the answer to a question for key, at a revision, says.
func (r *RangeResponse) event(key string, revision int64) (Event, error) {
	switch {
	case revision <= 0:
		return Event{}, fmt.Errorf("%w: revision %d", ErrMalformed, revision)
	case len(r.KVs) == 0:
		return Event{Key: key, Deleted: true}, nil
	case len(r.KVs) > 1 || string(r.KVs[0].Key) != key:
		return Event{}, fmt.Errorf("%w: other keys than the one asked for", ErrMalformed)
	case r.KVs[0].ModRevision <= 0 || r.KVs[0].ModRevision > revision:
		return Event{}, fmt.Errorf("%w: a value of revision %d at revision %d", ErrMalformed, r.KVs[0].ModRevision, revision)
	}
	put := RawEvent{Type: typePut, KV: r.KVs[0]}
	return put.event(), nil
}
