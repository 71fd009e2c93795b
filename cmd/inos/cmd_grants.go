package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

// until returns when a flag's time ahead is over; 0: never.
func until(expires life) int64 {
	if expires == 0 {
		return 0
	}
	return time.Now().Add(time.Duration(expires)).UnixMicro()
}

func (a *app) cmdGrant() *cobra.Command {
	var to, verbs string
	var expires life
	c := &cobra.Command{
		Use:   "grant PATH --to GRANTEE --verbs VERBS",
		Short: "Let a user, a group or everybody into a part of a namespace",
		Long: `Grant lets somebody into PATH and what is below it; / is the whole namespace. Verbs: read (get, stat, list, verify), write (put, rm, set), share
(let everybody or holders of a link read), admin (let other users and groups in). The grantee is user:NAME, group:NAME or public; public may only read, and
needs no token: GET /v1/public/OWNER/PATH.` + othersManual,
		Example: `  inos grant /photos --to user:ben --verbs read
  inos grant /inbox --to group:family --verbs read,write --expires 30d
  inos grant /www --to public --verbs read
  inos grant '~anna/inbox' --to user:ben --verbs read        # with admin rights there`,
		Args: arguments(1, 1, "one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if to == "" {
				return usage(c, "say whom to let in: --to user:NAME, group:NAME or public")
			}
			if err := a.within(c, args); err != nil {
				return err
			}
			q := api.GrantQuestion{Owner: string(a.owner), Prefix: args[0], Grantee: to, Verbs: strings.Split(verbs, ","), ExpiresUs: until(expires)}
			return a.withClient(func(client *api.Client) error {
				r, err := client.Grant(a.ctx, q)
				if err != nil {
					return err
				}
				return a.printGrant(&r.Grant)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&to, "to", "", "whom: user:NAME, group:NAME or public")
	flags.StringVar(&verbs, "verbs", "read", "what: read, write, share, admin, with commas between")
	flags.Var(&expires, "expires", "how long, such as 12h or 30d (default until it is removed)")
	return c
}

func (a *app) printGrant(g *api.Grant) error {
	if a.json {
		return a.printJSON(g)
	}
	end := "until removed"
	if g.ExpiresUs != 0 {
		end = "until " + timeText(g.ExpiresUs)
	}
	uses := ""
	if g.UsesMax > 0 {
		uses = fmt.Sprintf(", %d of %d uses", g.Uses, g.UsesMax)
	}
	return a.printf("%s  ~%s%s  %s  %s  %s%s\n", g.ID, g.Owner, printable(g.Prefix), printable(g.Grantee), strings.Join(g.Verbs, ","), end, uses)
}

func (a *app) cmdGrants() *cobra.Command {
	var owner string
	var received bool
	list := &cobra.Command{
		Use:   "grants",
		Short: "List who is let in where, and take grants back",
		Long: `Grants lists who is let into your namespace, links too, or with --owner into another's; with --received where others let you in. Rm takes one back: it counts from the next
request on.`,
		Example: "  inos grants\n  inos grants --received\n  inos grants rm 0193…",
		Args:    arguments(0, 0, "no argument, or rm"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(func(client *api.Client) error {
				for g, err := range client.Grants(a.ctx, owner, received) {
					if err != nil {
						return err
					}
					if err := a.printGrant(&g); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	list.Flags().BoolVar(&received, "received", false, "where others let you in")
	list.PersistentFlags().StringVar(&owner, "owner", "", "whose namespace (default yours)")
	return parent(list, &cobra.Command{
		Use:     "rm ID",
		Short:   "Take a grant or a link back at once",
		Example: "  inos grants rm 0193…\n  inos grants rm 0193… --owner anna",
		Args:    arguments(1, 1, "the ID of a grant"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withClient(func(client *api.Client) error { return client.RemoveGrant(a.ctx, owner, args[0]) })
		},
	})
}

func (a *app) cmdShare() *cobra.Command {
	var expires life
	var uses uint32
	c := &cobra.Command{
		Use:   "share PATH",
		Short: "Make a link with which anybody can read a file, and print it",
		Long: `Share prints an address with which whoever has it reads a file, without a token; of a folder, what is below it, its path appended, and with a slash at its end a list of that. The address is shown once;
'inos grants' lists links and 'inos grants rm' ends one.` + othersManual,
		Example: `  inos share /photos/cat.jpg --expires 7d --uses 10
  curl -OJ "$(inos share /photos/cat.jpg -q)"`,
		Args: arguments(1, 1, "one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.within(c, args); err != nil {
				return err
			}
			q := api.GrantQuestion{Owner: string(a.owner), Prefix: args[0], Link: true, Verbs: []string{"read"}, ExpiresUs: until(expires), UsesMax: uses}
			return a.withClient(func(client *api.Client) error {
				r, err := client.Grant(a.ctx, q)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						URL   string    `json:"url"`
						Grant api.Grant `json:"grant"`
					}{r.Address, r.Grant})
				}
				if err := a.printf("%s\n", r.Address); err != nil {
					return err
				}
				a.note("whoever has it can read %s; end it with: inos grants rm %s", printable(args[0]), r.Grant.ID)
				return nil
			})
		},
	}
	c.Flags().Var(&expires, "expires", "how long, such as 12h or 7d (default until it is removed)")
	c.Flags().Uint32Var(&uses, "uses", 0, "how many gets it is good for; 0: any number")
	return c
}

// ledgerPage is how many entries are asked for at once.
const ledgerPage = 1000

func (a *app) cmdLedger() *cobra.Command {
	list := &cobra.Command{
		Use:   "ledger [ACCOUNT]",
		Short: "List the entries of an account, and move credits",
		Long: `Ledger lists an account's entries, oldest first, and what it holds; without ACCOUNT yours. Accounts: user:NAME, escrow:NAME (what a user's files pledge for replicas above
three), grant (where credits come from). The sum of all accounts is zero.`,
		Example: "  inos ledger\n  inos ledger escrow:anna\n  inos ledger transfer grant user:anna 100 --reason 'a present'",
		Args:    arguments(0, 1, "at most one ACCOUNT"),
		RunE: func(_ *cobra.Command, args []string) error {
			account := ""
			if len(args) == 1 {
				account = args[0]
			}
			return a.withClient(func(client *api.Client) error {
				for after := uint64(0); ; {
					r, err := client.Ledger(a.ctx, account, after, ledgerPage)
					if err != nil {
						return err
					}
					for _, e := range r.Entries {
						if err := a.printEntry(&e); err != nil {
							return err
						}
					}
					if after = r.Next; after == 0 {
						a.note("it holds %s credits", creditsText(r.Balance))
						return nil
					}
				}
			})
		},
	}
	var reason string
	transfer := &cobra.Command{
		Use:     "transfer FROM TO CREDITS",
		Short:   "Move credits from one account to another",
		Example: "  inos ledger transfer grant user:anna 100 --reason 'a present'\n  inos ledger transfer user:anna user:ben 2.5",
		Args:    arguments(3, 3, "FROM, TO and CREDITS"),
		RunE: func(c *cobra.Command, args []string) error {
			amount, err := parseCredits(args[2])
			if err != nil {
				return usage(c, "%v", err)
			}
			return a.withClient(func(client *api.Client) error {
				r, err := client.Transfer(a.ctx, api.TransferQuestion{From: args[0], To: args[1], Amount: amount, Reason: reason})
				if err != nil {
					return err
				}
				for _, e := range r.Entries {
					if err := a.printEntry(&e); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	transfer.Flags().StringVar(&reason, "reason", "", "why, for whoever reads the ledger")
	return parent(list, transfer)
}

func (a *app) printEntry(e *api.Entry) error {
	if a.json {
		return a.printJSON(e)
	}
	return a.printf("%s  %14s  %s  %s\n", timeText(e.AtUs), creditsText(e.Amount), printable(e.Account), printable(e.Reason))
}

// parseCredits reads credits with at most six digits behind the point, as micro-credits.
func parseCredits(s string) (int64, error) {
	whole, part, _ := strings.Cut(s, ".")
	n, err := strconv.ParseUint(whole+(part + "000000")[:6], 10, 63)
	if err != nil || whole == "" || len(part) > 6 || n == 0 {
		return 0, fmt.Errorf("%q is no amount of credits above 0, like 100 or 2.5", s)
	}
	return int64(n), nil
}
