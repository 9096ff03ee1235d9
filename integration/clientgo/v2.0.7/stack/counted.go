package stack

import (
	"context"

	pd "github.com/tikv/pd/client"

	"github.com/tsoring/tso/integration/bank"
)

// Counted returns a PD client that shows a tally every timestamp that is taken.
func Counted(client pd.Client, tally *bank.Tally) pd.Client { return counted{client, tally} }

type counted struct {
	pd.Client
	tally *bank.Tally
}

func (c counted) GetTS(ctx context.Context) (physical, logical int64, err error) {
	start := c.tally.Now()
	physical, logical, err = c.Client.GetTS(ctx)
	c.tally.Take(start, physical, logical, err)
	return physical, logical, err
}

func (c counted) GetTSAsync(ctx context.Context) pd.TSFuture {
	start := c.tally.Now()
	return countedFuture{c.Client.GetTSAsync(ctx), start, c.tally}
}

type countedFuture struct {
	pd.TSFuture
	start int64
	tally *bank.Tally
}

func (f countedFuture) Wait() (physical, logical int64, err error) {
	physical, logical, err = f.TSFuture.Wait()
	f.tally.Take(f.start, physical, logical, err)
	return physical, logical, err
}
