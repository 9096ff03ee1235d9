// Command release packs the modules that this repository publishes, with one version for
// all, into a folder that the go command takes modules from:
//
//	release -out folder [-version v0.1.0]
//	release -require v0.1.0
//
// The second is what a release begins with: it has the modules require each other in that
// version.
//
// What it packs is the commit that is checked out, as git would give it to a module proxy:
// files that are not committed are not in it, nor are the replacements by which the modules
// find each other while they are developed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1) //nolint:forbidigo // a command's main
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(errs)
	folder := flags.String("out", "", "the folder, which is made if there is none")
	version := flags.String("version", "", "the version of all modules (default: the pseudo-version of the commit)")
	wanted := flags.String("require", "", "the version in which all modules here are to require the published ones")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0 || (*folder == "") == (*wanted == ""):
		return errors.New("wanted: -out folder [-version v0.1.0], or -require v0.1.0")
	case *wanted != "":
		changed, err := requireAll(ctx, ".", *wanted)
		for _, name := range changed {
			fmt.Fprintln(out, name)
		}
		return err
	default:
		return pack(ctx, *folder, *version, out)
	}
}

// pack packs the commit, and says how to use it.
func pack(ctx context.Context, folder, version string, out io.Writer) error {
	proxy, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	c, err := head(ctx, ".")
	if err != nil {
		return err
	}
	packed, err := c.pack(proxy, version)
	if err != nil {
		return err
	}
	for _, m := range packed {
		fmt.Fprintln(out, m)
	}
	fmt.Fprintf(out, `
In a module of your own, with these modules from here and all others from where you get them:

    export GOPROXY='file://%s,'"$(go env GOPROXY)"
    export GONOSUMDB=%s   # the checksum database does not know what is packed here
    go get %s

Go keeps what it has got: a version that is packed once more stays what it was, for who has it.
`, filepath.ToSlash(proxy), packed[0].Path, packed[0])
	return nil
}
