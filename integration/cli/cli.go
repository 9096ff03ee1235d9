// Package cli is what the commands of this project have in common: how they end, and log.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

// The exit codes of most commands.
const (
	OK = iota
	Failed
	Usage
)

// Main is a command's main function around run, which returns the exit code. The first
// SIGINT or SIGTERM ends run's context; the next one finds the default again, and ends
// the process.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Refuse tells why a command line was not taken, or the usage if that was asked for. It
// reports false if err is nil: then nothing is wrong with it.
func Refuse(name string, err error, usage string, stdout, stderr io.Writer) (code int, refused bool) {
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return OK, true
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\nTry --help.\n", name, err)
		return Usage, true
	}
	return OK, false
}

// Fail tells of an error and returns the code for it.
func Fail(name string, err error, stderr io.Writer) int {
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return Failed
}

// Logger returns what writes a log to the file at path, or nowhere if that is empty.
func Logger(path string) (*zap.Logger, error) {
	if path == "" {
		return zap.NewNop(), nil
	}
	cfg := zap.NewDevelopmentConfig()
	cfg.OutputPaths = []string{path}
	cfg.DisableStacktrace = true
	return cfg.Build()
}
