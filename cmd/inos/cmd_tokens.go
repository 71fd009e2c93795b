package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdTokens() *cobra.Command {
	var user string
	list := &cobra.Command{
		Use:   "tokens",
		Short: "List sessions and programs' tokens, issue and revoke them",
		Long: `Tokens lists what lets anybody in as you, or with --user as another: sessions of devices, dashboards, and tokens issued for programs.
Revoking one counts from the next request on. A token ends too when the device is revoked that issued it; of tokens of an earlier version
that is not known, and they are listed without a device.`,
		Example: `  inos tokens
  inos tokens issue backup --capability 'files:write:/backup/*' --expires 90d
  inos tokens revoke 0193…
  inos tokens revoke --all --user anna`,
		Args: arguments(0, 0, "no argument, or one of its commands"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(func(client *api.Client) error {
				for s, err := range client.Tokens(a.ctx, user) {
					if err != nil {
						return err
					}
					if err := a.printSession(&s); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	list.PersistentFlags().StringVar(&user, "user", "", "whose (default yours)")
	return parent(list, a.cmdTokensIssue(), a.cmdTokensRevoke(&user))
}

func (a *app) printSession(s *api.Session) error {
	if a.json {
		return a.printJSON(s)
	}
	kind := "program"
	switch {
	case s.Device != "":
		kind = "device …" + tail(s.Device)
	case s.IssuedBy != "":
		kind = "program of device …" + tail(s.IssuedBy)
	}
	return a.printf("%s  until %s  %s  %s  %s\n", s.ID, timeText(s.ExpiresUs), printable(s.Name), kind, printable(strings.Join(s.Capabilities, " ")))
}

func (a *app) cmdTokensIssue() *cobra.Command {
	q := api.TokenQuestion{}
	expires := life(30 * 24 * time.Hour)
	c := &cobra.Command{
		Use:   "issue NAME --capability CAPABILITY",
		Short: "Make a token for a program, and print it",
		Long: `Issue prints a token with which a program acts in your name, with no more than you may. It is shown once. A capability is
service:verb:resource: files:read:/photos/*, files:*:*, files:write:~anna/inbox/*. Pass it as INOS_TOKEN, in a file named by --token-file, or over HTTP as
Authorization: Bearer TOKEN.`,
		Example: `  inos tokens issue backup --capability 'files:write:/backup/*' --expires 90d
  inos tokens issue reader --capability 'files:read:*' -q > token; inos ls --token-file token`,
		Args: arguments(1, 1, "a NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(q.Capabilities) == 0 {
				return usage(c, "say what it may do: --capability 'files:read:/photos/*'")
			}
			q.Name, q.LifeUs = args[0], time.Duration(expires).Microseconds()
			return a.withClient(func(client *api.Client) error {
				r, err := client.IssueToken(a.ctx, q)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				if err := a.printf("%s\n", r.Token); err != nil {
					return err
				}
				a.note("%s until %s; end it with: inos tokens revoke %s", printable(r.Session.Name), timeText(r.Session.ExpiresUs), r.Session.ID)
				return nil
			})
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&q.Capabilities, "capability", nil, "what it may do; may be given again")
	flags.Var(&expires, "expires", "how long it counts, such as 12h or 90d; at most 366 days")
	flags.StringVar(&q.Audience, "audience", "", "another service that the token is for; the mesh does not take it then")
	flags.StringVar(&q.Peer, "peer", "", "id of the only node that may use it")
	return c
}

func (a *app) cmdTokensRevoke(user *string) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a session or a program's token at once",
		Example: "  inos tokens revoke 0193…\n  inos tokens revoke --all --user anna",
		Args:    arguments(0, 1, "an ID, or --all --user NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			id := ""
			switch {
			case all && *user == "":
				return usage(c, "say whose: --all --user NAME")
			case all == (len(args) == 1):
				return usage(c, "name one by its ID, or all with --all --user NAME")
			case !all:
				id = args[0]
			}
			return a.withClient(func(client *api.Client) error {
				r, err := client.RevokeToken(a.ctx, *user, id)
				if err != nil {
					return err
				}
				return a.printEnded(r)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every session of a user's")
	return c
}

// life is a flag for a time ahead: what time.ParseDuration reads, and days.
type life time.Duration

// String implements pflag.Value.
func (l *life) String() string {
	d := time.Duration(*l)
	if d == 0 {
		return "" // no default that help would name: the flag's text says what happens without it
	}
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return d.String()
}

// Set implements pflag.Value.
func (l *life) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err = fmt.Sscanf(days, "%d", &n); err == nil && fmt.Sprint(n) != days || n > 100_000 {
			err = fmt.Errorf("%q is no number of days", s)
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err == nil && d <= 0 {
		err = fmt.Errorf("it is not ahead")
	}
	*l = life(d)
	return err
}

// Type implements pflag.Value.
func (l *life) Type() string { return "duration" }

func (a *app) printKeys(keys []api.Key) error {
	for _, k := range keys {
		state := "signs"
		if k.RetiredUs != 0 {
			state = "retired " + timeText(k.RetiredUs) + ", verifies until " + timeText(k.ExpiresUs)
		}
		if err := a.printf("%s  made %s  %s\n", k.ID, timeText(k.CreatedUs), state); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) cmdDashboard() *cobra.Command {
	return &cobra.Command{
		Use:   "dashboard",
		Short: "Print an address that opens the dashboard, once",
		Long: `Dashboard prints an address with a code behind #, good for one browser, once, for ten minutes. The browser's session may do what you may, ends when it is idle for
half an hour, and is listed by 'inos tokens'. The pages of the dashboard are not here yet: the calls that they will use are in docs/http.md.`,
		Example: "  inos dashboard",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(func(client *api.Client) error {
				address, expires, err := client.DashboardCode(a.ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						URL       string `json:"url"`
						ExpiresUs int64  `json:"expires_us"`
					}{address, int64(expires)})
				}
				return a.printf("%s\n", address)
			})
		},
	}
}
