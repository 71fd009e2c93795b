package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host"
	"github.com/inos-mesh/inos/host/api"
)

// readableWarning is said to who offers a disk and to who uses one.
const readableWarning = "Content is not encrypted: a provider can read the chunks that it holds."

func (a *app) cmdInvite() *cobra.Command {
	q := api.InviteQuestion{}
	var offered byteCount
	var expires time.Duration
	c := &cobra.Command{
		Use:   "invite --zone ZONE --host HOST --tier hot|cold --bytes BYTES",
		Short: "Let another machine into the mesh",
		Long: `Invite makes a text with which one machine can join as a provider, once, and prints it. What it grants is signed and only
the operator can change it: the zone and host tell the mesh what can fail together (two machines in one house are two hosts
in one zone), the tier what the node is for (cold keeps, hot serves), the bytes how much it offers.

Who has the text can join with it: hand it over like a password. ` + readableWarning,
		Example: `  inos invite --zone garage --host nas --tier cold --bytes 2Ti
  inos invite --zone berlin --host vps1 --tier hot --bytes 100G --operator anna --expires 2h
  ssh nas inos join "$(inos invite --zone garage --host nas --tier cold --bytes 2Ti --quiet)"`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case q.Zone == "" || q.Host == "":
				return usage(c, "say where it stands: --zone and --host tell which machines can fail together")
			case q.Tier != "hot" && q.Tier != "cold":
				return usage(c, "--tier is hot (serves) or cold (keeps), not %q", q.Tier)
			case offered == 0:
				return usage(c, "say how much it offers: --bytes 500G")
			case expires < 0 || c.Flags().Changed("expires") && expires < time.Second:
				return usage(c, "--expires is a time ahead like 24h, not %v", expires)
			}
			q.OfferedBytes, q.LifeUs = uint64(offered), expires.Microseconds()
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			r, err := client.Invite(a.ctx, q)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			return a.printInvite(&r)
		},
	}
	flags := c.Flags()
	flags.StringVar(&q.Zone, "zone", "", "what fails together: a house, a data centre")
	flags.StringVar(&q.Host, "host", "", "the machine within its zone")
	flags.StringVar(&q.Operator, "operator", "", "whose machine it is (default yours); at most one copy is kept at another operator's")
	flags.StringVar(&q.Tier, "tier", "cold", "cold keeps, hot serves")
	flags.Var(&offered, "bytes", "what it offers, such as 500G or 2Ti")
	flags.DurationVar(&expires, "expires", 24*time.Hour, "how long it may be used")
	return c
}

func (a *app) printInvite(r *api.InviteReply) error {
	if a.quiet {
		return a.printf("%s\n", r.Text)
	}
	i := &r.Invite
	a.note("%s node in %s, %s; until %s, once", i.Tier, printable(i.Zone+"/"+i.Host), sizeText(i.OfferedBytes), timeText(i.ExpiresUs))
	if onlyLoopback(host.InviteAddresses(r.Text)) {
		a.note("the switchboard listens on this machine only: for others start it with --mesh-listen (docs/operate.md)")
	}
	if err := a.printf("%s\n", r.Text); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "inos: on that machine: inos join INVITE\n")
	a.note("%s", readableWarning)
	return nil
}

// onlyLoopback tells whether every one of the multiaddresses is of this machine alone.
func onlyLoopback(addrs []string) bool {
	for _, s := range addrs {
		if !strings.HasPrefix(s, "/ip4/127.") && !strings.HasPrefix(s, "/ip6/::1/") {
			return false
		}
	}
	return len(addrs) > 0
}
