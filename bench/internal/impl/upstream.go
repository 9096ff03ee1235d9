package impl

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/pingcap/log"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"
	"github.com/tikv/pd/client/pkg/caller"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
)

// upstream is PD's own client, with the options it has by default. It takes 5 s to
// open where there is no router service, for which it looks that long.
type upstream struct {
	client pd.Client
	sent   counter
	once   sync.Once
}

// quiet silences the logger of the whole process that PD's client writes to, but
// for the last words with which the client ends the process.
var quiet = sync.OnceFunc(func() {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	level := zap.NewAtomicLevelAt(zapcore.FatalLevel)
	core := zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), level)
	log.ReplaceGlobals(zap.New(core), &log.ZapProperties{Core: core, Syncer: zapcore.Lock(os.Stderr), Level: level})
})

func openUpstream(ctx context.Context, cfg Config) (Client, error) {
	quiet()
	u := &upstream{}
	client, err := pd.NewClientWithContext(ctx, caller.Component("tso-bench"), cfg.Addrs, pd.SecurityOption{
		CAPath: cfg.CAPath, CertPath: cfg.CertPath, KeyPath: cfg.KeyPath,
	}, opt.WithGRPCDialOptions(grpc.WithChainStreamInterceptor(u.sent.intercept)))
	if err != nil {
		// A client is returned all the same. It is not fit to be closed, and ends
		// with ctx.
		return nil, err
	}
	u.client = client
	if cfg.Concurrency > 0 {
		if err := u.adopt(ctx, cfg.Concurrency); err != nil {
			u.Close()
			return nil, err
		}
	}
	return u, nil
}

// The client looks at its setting when it sends, but not more often than every 5 s,
// and does not tell what it has found.
const (
	adoptTime  = 6 * time.Second
	adoptPause = 100 * time.Millisecond
)

// adopt sets how many RPCs may be under way, and calls until that is in force.
func (u *upstream) adopt(ctx context.Context, concurrency int) error {
	if err := u.client.UpdateOption(opt.TSOClientRPCConcurrency, concurrency); err != nil {
		return err
	}
	pause := time.NewTicker(adoptPause)
	defer pause.Stop()
	for end := time.Now().Add(adoptTime); time.Now().Before(end); {
		if _, _, err := u.client.GetTS(ctx); err != nil {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (u *upstream) GetTS(ctx context.Context) (physical, logical int64, err error) {
	return u.client.GetTS(ctx)
}

func (u *upstream) GetTSAsync(ctx context.Context) Future { return u.client.GetTSAsync(ctx) }

func (u *upstream) Leader() string { return u.client.GetLeaderURL() }

func (u *upstream) Stats() Stats { return u.sent.stats() }

func (u *upstream) Close() { u.once.Do(u.client.Close) }
