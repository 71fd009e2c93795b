package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

// microCredits are in a credit.
const microCredits = 1_000_000

// creditsText writes micro-credits as credits.
func creditsText(micro int64) string {
	sign := ""
	if micro < 0 {
		sign = "-"
		micro = -micro
	}
	text := sign + groupText(uint64(micro/microCredits))
	if rest := micro % microCredits; rest != 0 {
		text += "." + strings.TrimRight(strconv.FormatInt(microCredits+rest, 10)[1:], "0")
	}
	return text
}

// parent is a command that has others below it and lists by itself.
func parent(c *cobra.Command, below ...*cobra.Command) *cobra.Command {
	for _, b := range below {
		b.DisableFlagsInUseLine = true
		c.AddCommand(b)
	}
	return c
}

func (a *app) cmdUsers() *cobra.Command {
	return parent(&cobra.Command{
		Use:   "users",
		Short: "List the users of the mesh, add, change and disable them",
		Long: `Users lists who has a namespace in the mesh: what they store, what they may, their credits. A user logs in with devices: add one with
'inos users add', hand the code over that it prints, and the user runs 'inos login' with it. Only operators see and change users; what
users store they show to nobody by that.`,
		Example: `  inos users
  inos users add anna --quota 200G
  inos users set anna --quota 1T --rate 50
  inos users enrol anna                     # a code for one more device
  inos users disable anna                   # ends all sessions at once`,
		Args: arguments(0, 0, "no argument, or one of its commands"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(func(client *api.Client) error {
				for u, err := range client.Users(a.ctx) {
					if err != nil {
						return err
					}
					if err := a.printUser(&u); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, a.cmdUsersAdd(), a.cmdUsersSet(), a.cmdUsersDisable(true), a.cmdUsersDisable(false), a.cmdUsersEnrol())
}

func (a *app) printUser(u *api.User) error {
	if a.json {
		return a.printJSON(u)
	}
	var notes []string
	if u.Operator {
		notes = append(notes, "operator")
	}
	if u.Disabled {
		notes = append(notes, "disabled")
	}
	if u.Quota.PlainBytes > 0 {
		notes = append(notes, "at most "+sizeText(u.Quota.PlainBytes))
	}
	if u.Quota.Files > 0 {
		notes = append(notes, "at most "+plural(u.Quota.Files, "file"))
	}
	if u.Quota.RequestsPerSecond > 0 {
		notes = append(notes, strconv.Itoa(int(u.Quota.RequestsPerSecond))+" requests/s")
	}
	return a.printf("%-16s  %10s in %s, %s credits  %s\n", u.Name, sizeText(u.PlainBytes), plural(u.Files, "file"), creditsText(u.Balance), strings.Join(notes, ", "))
}

// userFlags are what a user can be.
type userFlags struct {
	operator bool
	quota    byteCount
	files    uint64
	rate     uint32
	credits  uint32
}

func (f *userFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&f.operator, "operator", false, "may administer the mesh")
	flags.Var(&f.quota, "quota", "plain bytes it may store, such as 200G; 0: no bound")
	flags.Uint64Var(&f.files, "files", 0, "files it may store; 0: no bound")
	flags.Uint32Var(&f.rate, "rate", 0, "requests a second; 0: no bound")
	flags.Uint32Var(&f.credits, "credits", 0, "credits to give it now; replicas above three are paid with them")
}

// apply changes what flags were given.
func (f *userFlags) apply(c *cobra.Command, q *api.UserQuestion) {
	changed := c.Flags().Changed
	if changed("operator") {
		q.Operator = f.operator
	}
	if changed("quota") {
		q.Quota.PlainBytes = uint64(f.quota)
	}
	if changed("files") {
		q.Quota.Files = f.files
	}
	if changed("rate") {
		q.Quota.RequestsPerSecond = f.rate
	}
	q.Credits = int64(f.credits) * microCredits
}

func (a *app) cmdUsersAdd() *cobra.Command {
	f := &userFlags{}
	var life time.Duration
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user and print a code for its first device",
		Long: `Add makes a user and prints a code, with which one device logs in once. Hand it over like a password. A name is a small letter, then small
letters, digits, '.', '_' and '-'.`,
		Example: "  inos users add anna --quota 200G\n  inos users add backup --files 100000 --rate 20",
		Args:    arguments(1, 1, "a NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withClient(func(client *api.Client) error {
				q := api.UserQuestion{Create: true}
				f.apply(c, &q)
				if _, err := client.PutUser(a.ctx, args[0], q); err != nil {
					return err
				}
				return a.enrol(client, args[0], life)
			})
		},
	}
	f.add(c)
	c.Flags().DurationVar(&life, "expires", 0, "how long the code is good (default a day)")
	return c
}

func (a *app) enrol(client *api.Client, name string, life time.Duration) error {
	e, err := client.Enrol(a.ctx, name, life)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			User string `json:"user"`
			api.Enrolment
		}{name, e})
	}
	if err := a.printf("%s\n", e.Secret); err != nil {
		return err
	}
	a.note("good for one device, once, until %s; on that device: inos login --node URL --user %s --code CODE", timeText(e.ExpiresUs), name)
	return nil
}

func (a *app) cmdUsersSet() *cobra.Command {
	f := &userFlags{}
	c := &cobra.Command{
		Use:     "set NAME",
		Short:   "Change what a user may",
		Long:    `Set changes what its flags name and leaves the rest. A user that is an operator no more loses its sessions, and logs in again.`,
		Example: "  inos users set anna --quota 1T --rate 50\n  inos users set anna --credits 100\n  inos users set anna --operator=false",
		Args:    arguments(1, 1, "a NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeUser(args[0], func(q *api.UserQuestion) { f.apply(c, q) })
		},
	}
	f.add(c)
	return c
}

// changeUser reads a user, changes it and writes it back.
func (a *app) changeUser(name string, change func(*api.UserQuestion)) error {
	return a.withClient(func(client *api.Client) error {
		u, err := client.User(a.ctx, name)
		if err != nil {
			return err
		}
		q := api.UserQuestion{Operator: u.Operator, Disabled: u.Disabled, Quota: u.Quota}
		change(&q)
		put, err := client.PutUser(a.ctx, name, q)
		if err != nil {
			return err
		}
		return a.printUser(&put)
	})
}

func (a *app) cmdUsersDisable(disable bool) *cobra.Command {
	c := &cobra.Command{
		Use: "disable NAME", Short: "Let a user in no more, and end its sessions at once",
		Long:    "Disable ends all sessions of a user at once and lets it in no more. Its files and the grants in its namespace stay.",
		Example: "  inos users disable anna",
		Args:    arguments(1, 1, "a NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeUser(args[0], func(q *api.UserQuestion) { q.Disabled = disable })
		},
	}
	if !disable {
		c.Use, c.Short, c.Example = "enable NAME", "Let a user in again", "  inos users enable anna"
		c.Long = "Enable lets a user in again that was disabled. Its devices log in with their keys as before."
	}
	return c
}

func (a *app) cmdUsersEnrol() *cobra.Command {
	var life time.Duration
	c := &cobra.Command{
		Use:     "enrol NAME",
		Short:   "Print a code with which a new device of a user logs in",
		Long:    "Enrol prints a code with which one more device of a user logs in, once. Users make codes for their own devices, operators for everybody's.",
		Example: "  inos users enrol anna --expires 1h",
		Args:    arguments(1, 1, "a NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withClient(func(client *api.Client) error { return a.enrol(client, args[0], life) })
		},
	}
	c.Flags().DurationVar(&life, "expires", 0, "how long the code is good (default a day)")
	return c
}

func (a *app) cmdDevices() *cobra.Command {
	var user string
	list := &cobra.Command{
		Use:     "devices",
		Short:   "List the devices that log in as a user, and revoke one",
		Long:    "Devices lists what you log in with, or with --user another: each device has a key of its own, and can be revoked alone.",
		Example: "  inos devices\n  inos devices --user anna\n  inos devices revoke 12D3Koo…",
		Args:    arguments(0, 0, "no argument, or revoke"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(func(client *api.Client) error {
				devices, err := client.Devices(a.ctx, user)
				if err != nil {
					return err
				}
				for _, d := range devices {
					if err := a.printDevice(&d); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	revoke := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a device, its sessions and the tokens that it issued at once",
		Long: `Revoke ends a device for good: its sessions end at once, and with them the tokens of programs and the dashboards that were let in by it,
or by a token of its. Its key lets nobody in again.`,
		Example: "  inos devices revoke 12D3Koo…\n  inos devices revoke 12D3Koo… --user anna",
		Args:    arguments(1, 1, "the ID of a device"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withClient(func(client *api.Client) error {
				r, err := client.RevokeDevice(a.ctx, user, args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				a.note("ended %s and %s that it had issued", plural(uint64(r.Sessions), "session"), plural(uint64(r.Tokens), "token"))
				return nil
			})
		},
	}
	list.PersistentFlags().StringVar(&user, "user", "", "whose (default yours)")
	return parent(list, revoke)
}

func (a *app) printDevice(d *api.Device) error {
	if a.json {
		return a.printJSON(d)
	}
	state := ""
	if d.Revoked {
		state = "  revoked"
	}
	return a.printf("%s  %s  %s%s\n", d.ID, timeText(d.CreatedUs), printable(d.Name), state)
}

func (a *app) printEnded(r api.EndedReply) error {
	if a.json {
		return a.printJSON(r)
	}
	a.note("ended %s", plural(uint64(r.Sessions), "session"))
	return nil
}

func (a *app) cmdGroups() *cobra.Command {
	return parent(
		&cobra.Command{
			Use:     "groups",
			Short:   "List groups of users, set and remove them",
			Long:    "Groups lists the groups: sets of users, under one name in grants.",
			Example: "  inos groups\n  inos groups set family anna ben\n  inos groups rm family",
			Args:    arguments(0, 0, "no argument, or one of its commands"),
			RunE: func(*cobra.Command, []string) error {
				return a.withClient(func(client *api.Client) error {
					for g, err := range client.Groups(a.ctx) {
						if err != nil {
							return err
						}
						if err := a.printGroup(&g); err != nil {
							return err
						}
					}
					return nil
				})
			},
		},
		&cobra.Command{
			Use:     "set NAME USER...",
			Short:   "Make a group, or say anew who it consists of",
			Example: "  inos groups set family anna ben",
			Args:    arguments(2, -1, "a NAME and at least one USER"),
			RunE: func(_ *cobra.Command, args []string) error {
				return a.withClient(func(client *api.Client) error {
					g, err := client.PutGroup(a.ctx, args[0], args[1:])
					if err != nil {
						return err
					}
					return a.printGroup(&g)
				})
			},
		},
		&cobra.Command{
			Use:     "rm NAME",
			Short:   "Remove a group, with the grants to it",
			Example: "  inos groups rm family",
			Args:    arguments(1, 1, "a NAME"),
			RunE: func(_ *cobra.Command, args []string) error {
				return a.withClient(func(client *api.Client) error {
					_, err := client.PutGroup(a.ctx, args[0], nil)
					return err
				})
			},
		},
	)
}

func (a *app) printGroup(g *api.Group) error {
	if a.json {
		return a.printJSON(g)
	}
	return a.printf("%-16s  %s\n", g.Name, strings.Join(g.Members, " "))
}
