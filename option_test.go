package tso

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/tsotest"
)

func TestOptionsOutOfRangeAreNamed(t *testing.T) {
	for text, opt := range map[string]ClientOption{
		"WithCustomTimeoutOption": WithCustomTimeoutOption(0),
		"WithRequestBudget":       WithRequestBudget(time.Microsecond),
		"WithMaxErrorRetry":       WithMaxErrorRetry(-1),
	} {
		_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, opt)
		require.ErrorIs(t, err, ErrInvalidOption)
		require.ErrorContains(t, err, text)
	}
	_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{}, WithCustomTimeoutOption(-1), WithMaxErrorRetry(0))
	require.ErrorContains(t, err, "WithCustomTimeoutOption")
	require.ErrorContains(t, err, "WithMaxErrorRetry")
}

func TestAddressesThatCannotWorkAreErrorsAtOnce(t *testing.T) {
	for _, addrs := range [][]string{nil, {}, {""}, {"nonsense"}, {"http://"}, {"a:1,b:2"}} {
		began := time.Now()
		c, err := NewClient(addrs, SecurityOption{})
		require.ErrorIs(t, err, ErrInvalidAddress, "%q", addrs)
		require.Nil(t, c)
		require.Less(t, time.Since(began), time.Second)
	}
	_, err := NewClient([]string{"127.0.0.1:1"}, SecurityOption{CAPath: "no/such/file.pem"})
	require.ErrorIs(t, err, ErrSecurity)
	require.ErrorContains(t, err, "no/such/file.pem")
}

func TestConstructorGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := NewClientWithContext(ctx, []string{"127.0.0.1:1"}, SecurityOption{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), time.Second)
}

func TestAddressesOfTwoClustersAreRefused(t *testing.T) {
	a := tsotest.New(t, tsotest.WithClusterID(1))
	b := tsotest.New(t, tsotest.WithClusterID(2))
	_, err := NewClient(append(a.URLs(), b.URLs()...), SecurityOption{})
	require.ErrorIs(t, err, ErrClusterMismatch)
}

func TestUpdateOptionKeepsUpstreamsTexts(t *testing.T) {
	c := newTestClient(t, tsotest.New(t))
	for _, tc := range []struct {
		option DynamicOption
		value  any
		text   string
	}{
		{MaxTSOBatchWaitInterval, 5, "[pd] invalid value type for MaxTSOBatchWaitInterval option, it should be time.Duration"},
		{MaxTSOBatchWaitInterval, 11 * time.Millisecond, "[pd] invalid max TSO batch wait interval, should be between 0 and 10ms"},
		{MaxTSOBatchWaitInterval, -time.Millisecond, "[pd] invalid max TSO batch wait interval, should be between 0 and 10ms"},
		{EnableTSOFollowerProxy, "on", "[pd] invalid value type for EnableTSOFollowerProxy option, it should be bool"},
		{TSOClientRPCConcurrency, int64(4), "[pd] invalid value type for TSOClientRPCConcurrency option, it should be int"},
		{TSOClientRPCConcurrency, 0, "at least 1"},
		{DynamicOption(99), nil, "[pd] unsupported client option"},
	} {
		err := c.UpdateOption(tc.option, tc.value)
		require.ErrorIs(t, err, ErrInvalidOption)
		require.ErrorContains(t, err, tc.text)
	}
	requireGetTS(t, c)
}

func TestDynamicOptionsChangeUnderLoad(t *testing.T) {
	c := newTestClient(t, tsotest.New(t))
	stop := load(t, c, 16)
	for i := range 50 {
		require.NoError(t, c.UpdateOption(TSOClientRPCConcurrency, []int{1, 4, 64, 1000}[i%4]))
		require.NoError(t, c.UpdateOption(MaxTSOBatchWaitInterval, time.Duration(i%3)*time.Millisecond))
		require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, i%2 == 0))
		requireGetTS(t, c)
	}
	stop()
}
