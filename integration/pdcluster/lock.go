package pdcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errLocked is returned by tryLock if somebody else holds the lock.
var errLocked = errors.New("pdcluster: locked by another process")

// tryLock takes the lock of a file, against other processes and against other
// calls in this one. The kernel gives it back if the process dies. The file
// stays: removing it would let two hold the lock of one name.
func tryLock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("pdcluster: lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

// lockFile waits for the lock of a file.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	waitErr := poll(ctx, func(context.Context) error {
		unlock, err = tryLock(path)
		if errors.Is(err, errLocked) {
			return err
		}
		return nil
	})
	if waitErr != nil {
		return nil, waitErr
	}
	return unlock, err
}
