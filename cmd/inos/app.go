package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
)

// app is what the commands share: streams and global flags.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	node      string
	owner     inos.Subject // whose namespace paths are in; empty: one's own
	data      string
	tokenFile string
	json      bool
	quiet     bool
	width     int // of the terminal that stdout is; 0: it is none, lines are as long as they are

	drawn atomic.Pointer[meter] // the last that was made
}

// Exit statuses. They are part of the interface: scripts depend on them.
const (
	statusOK           = 0
	statusFailure      = 1
	statusUsage        = 2
	statusNotFound     = 3
	statusDenied       = 4
	statusUnreachable  = 5
	statusDamage       = 6
	statusInterrupted  = 130
	exitStatusesManual = `Exit statuses:
  0    done
  1    failed; the message says why
  2    the command line was not understood, or a path in it is not valid
  3    there is no such file, node, user, group, device or grant
  4    no valid token, or not permitted
  5    no node answers
  6    verify, rebuild or replay found damage or a difference
  130  interrupted`
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "inos",
		Short: "One storage mesh from the machines you own",
		Long: `INOS turns the machines you own into one storage mesh. Every file is compressed, addressed by
its content and verified whenever it is read.

Start a mesh in one terminal, use it from another:

  inos up
  inos put holiday.mp4 /videos/holiday.mp4
  inos ls /videos/
  inos get /videos/holiday.mp4 -o copy.mp4

The other commands find it by its data folder (--data, INOS_DATA, else ~/.local/share/inos), where
'inos up' writes its address and the operator's token. For a node elsewhere, give its address
(--node, INOS_NODE) and log in there once ('inos login'), or show a token (--token-file, INOS_TOKEN).

With --json results are JSON: one object, or one object a line where there may be many.
Results go to stdout, everything else to stderr.

` + exitStatusesManual,
		Example:           "  inos up\n  inos put notes.txt\n  inos get /notes.txt",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.data, "data", "", "data folder of the node (default $INOS_DATA, else ~/.local/share/inos)")
	flags.StringVar(&a.node, "node", "", "URL of the node (default $INOS_NODE, else the file 'url' in the data folder)")
	flags.StringVar(&a.tokenFile, "token-file", "", "file with the token (default $INOS_TOKEN's value, else the login of --node, else the file 'token' in the data folder)")
	flags.BoolVar(&a.json, "json", false, "print results as JSON")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print no progress and no summary")
	var version bool
	root.Flags().BoolVar(&version, "version", false, "show the version, as 'inos version' does")
	root.RunE = func(c *cobra.Command, _ []string) error {
		if version {
			return a.printOwnVersion()
		}
		return c.Help()
	}
	root.SetHelpCommand(cmdHelp())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, "%v", err) })
	for _, c := range []*cobra.Command{
		a.cmdUp(), a.cmdNode(), a.cmdJoin(), a.cmdRebuild(), a.cmdPut(), a.cmdGet(), a.cmdList(), a.cmdStat(), a.cmdRemove(), a.cmdStatus(), a.cmdEvents(), a.cmdTrace(),
		a.cmdVerify(), a.cmdSet(), a.cmdUploads(), a.cmdNodes(), a.cmdRepairs(), a.cmdDrain(), a.cmdInvite(), a.cmdReplay(), a.cmdVersion(), a.cmdWorker(),
		a.cmdLogin(), a.cmdLogout(), a.cmdWhoami(), a.cmdUsers(), a.cmdDevices(), a.cmdGroups(), a.cmdTokens(), a.cmdGrant(), a.cmdGrants(), a.cmdShare(), a.cmdLedger(), a.cmdKeys(), a.cmdDashboard(),
	} {
		c.DisableFlagsInUseLine = true
		root.AddCommand(c)
	}
	return root
}

func cmdHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show what a command does, with examples",
		Example: "  inos help put\n  inos help keys rotate",
		RunE: func(c *cobra.Command, args []string) error {
			about, _, err := c.Root().Find(args)
			if err != nil {
				return &usageError{fmt.Sprintf("there is no command %q", strings.Join(args, " ")), "See 'inos --help'."}
			}
			return about.Help()
		},
	}
}

// usageError is a command line that was not understood.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

func usage(c *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), fmt.Sprintf("See '%s --help'.", c.CommandPath())}
}

// arguments wants between least and most arguments; names says what they are.
func arguments(least, most int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(c, "%s needs %s", c.CommandPath(), names)
		case most >= 0 && len(args) > most:
			return usage(c, "%s takes %s, and was given %q", c.CommandPath(), names, args[most])
		}
		return nil
	}
}

// found tells by the exit status that a check did its work and found something bad.
type found struct{ error }

// Unwrap returns the finding.
func (f found) Unwrap() error { return f.error }

// readerLeft is the failure of a standard output that nobody reads any more. A connection that broke fails with the same
// number and is none: that has to be told.
type readerLeft struct{ error }

// Unwrap returns the failure.
func (r readerLeft) Unwrap() error { return r.error }

// output is the standard output; its Write tells a reader that left apart from every other broken pipe.
type output struct{ io.Writer }

// Write implements io.Writer.
func (o output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		err = readerLeft{err}
	}
	return n, err
}

// said is a failure that was printed already.
type said struct{ error }

// Unwrap returns the failure.
func (s said) Unwrap() error { return s.error }

// partly is the failure of some of many files; the exit status tells only that.
type partly struct{ error }

// Unwrap returns the failure.
func (p partly) Unwrap() error { return p.error }

// report prints an error and returns the exit status.
func (a *app) report(err error) int {
	if err == nil {
		return statusOK
	}
	var u *usageError
	var coded *inos.Error
	if errors.As(err, new(readerLeft)) {
		return statusFailure // to tell would be noise
	}
	var worker *workerEnd
	if errors.As(err, &worker) {
		a.printError(err.Error(), "", nil)
		return worker.status
	}
	message, hint := err.Error(), ""
	switch {
	case errors.As(err, &u):
		hint = u.hint
	case errors.Is(err, context.Canceled), inos.CodeOf(err) == inos.CodeCanceled && a.ctx != nil && a.ctx.Err() != nil:
		message = "interrupted"
		coded = inos.Errorf(inos.CodeCanceled, "wait", "%s", message)
	case errors.As(err, &coded):
		hint = coded.HintText()
	default: // cobra's own: an unknown command
		u = &usageError{hint: "See 'inos --help'."}
		hint = u.hint
		message, _, _ = strings.Cut(message, "\n")
	}
	if !errors.As(err, new(said)) {
		a.printError(message, hint, coded)
	}
	switch {
	case u != nil:
		return statusUsage
	case errors.As(err, new(found)):
		return statusDamage
	case errors.As(err, new(partly)):
		return statusFailure
	}
	return exitStatus(coded.Code)
}

func exitStatus(code inos.Code) int {
	switch code {
	case inos.CodeBadPath:
		return statusUsage
	case inos.CodeFileNotFound, inos.CodeNodeUnknown, inos.CodeUserUnknown, inos.CodeGroupUnknown, inos.CodeDeviceUnknown, inos.CodeGrantUnknown:
		return statusNotFound
	case inos.CodeUnauthenticated, inos.CodePermissionDenied:
		return statusDenied
	case inos.CodeNodeUnreachable:
		return statusUnreachable
	case inos.CodeCanceled:
		return statusInterrupted
	}
	return statusFailure
}

// errorText is an error as JSON.
type errorText struct {
	Code      string `json:"code"`
	Operation string `json:"operation,omitempty"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
}

func (a *app) printError(message, hint string, coded *inos.Error) {
	if a.json {
		out := struct {
			Error errorText `json:"error"`
		}{errorText{Code: "usage", Message: message, Hint: hint}}
		if coded != nil {
			out.Error.Code, out.Error.Operation, out.Error.Message = coded.Code.Name(), coded.Op, coded.Message
		}
		_ = json.NewEncoder(a.stderr).Encode(out) // there is nowhere to tell that stderr is gone
		return
	}
	fmt.Fprintf(a.stderr, "inos: %s\n", printable(message))
	if hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", printable(hint))
	}
}

// printFailure tells of one of many files that failed, above the progress; m may be nil.
func (a *app) printFailure(m *meter, name string, err error) {
	line := fmt.Sprintf("inos: %s: %s\n", printable(name), printable(err.Error()))
	if a.json {
		e := errorText{Code: inos.CodeOf(err).Name(), Message: err.Error()}
		var coded *inos.Error
		if errors.As(err, &coded) {
			e.Operation, e.Message, e.Hint = coded.Op, coded.Message, coded.HintText()
		}
		raw, _ := json.Marshal(struct {
			Name  string    `json:"name"`
			Error errorText `json:"error"`
		}{name, e}) // strings alone cannot fail
		line = string(raw) + "\n"
	}
	m.print(a.stderr, line)
}

// tellSilence says above the progress that the node is silent.
func (a *app) tellSilence(text string) {
	if !a.quiet {
		a.drawn.Load().print(a.stderr, "inos: "+printable(text)+"\n")
	}
}

// note tells a person something on stderr, unless told to be quiet.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, "inos: %s\n", printableLines(fmt.Sprintf(format, args...)))
	}
}

// printJSON writes one JSON value on a line of its own.
func (a *app) printJSON(v any) error {
	return outputError(json.NewEncoder(a.stdout).Encode(v))
}

// printf writes to stdout.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format, args...)
	return outputError(err)
}

func outputError(err error) error {
	if err == nil {
		return nil
	}
	return inos.Errorf(inos.CodeIO, "write output", "%w", err)
}
