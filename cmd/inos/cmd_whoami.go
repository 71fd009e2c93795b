package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdWhoami() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Show who you are to the node, and how much of your quota is used",
		Long: `Whoami shows the user that your token lets in: its groups, what it stores and how much of its quota that is, how many requests it may send now, its
credits, and what this session may do. A program's token shows it when it has the capability users:read:NAME.`,
		Example: "  inos whoami\n  inos whoami --json",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(func(client *api.Client) error {
				r, err := client.Whoami(a.ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				for _, line := range a.whoamiLines(&r) {
					if err := a.printf("%s\n", line); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// whoamiLines are the lines of inos whoami.
func (a *app) whoamiLines(r *api.WhoamiReply) []string {
	u, s := &r.User, &r.Session
	name := u.Name
	if u.Operator {
		name += ", an operator"
	}
	groups := "none"
	if len(u.Groups) > 0 {
		groups = strings.Join(u.Groups, ", ")
	}
	requests := "any number"
	if u.RequestsMax > 0 {
		requests = groupText(uint64(u.RequestsLeft)) + " of " + groupText(uint64(u.RequestsMax)) + " left now, " + groupText(uint64(u.Quota.RequestsPerSecond)) + " more each second"
	}
	session := s.ID
	if s.Device != "" {
		session += " of device …" + tail(s.Device)
	}
	if s.IssuedBy != "" {
		session += " issued by device …" + tail(s.IssuedBy)
	}
	if s.ExpiresUs > 0 {
		session += ", until " + timeText(s.ExpiresUs)
	}
	lines := []string{
		"user      " + name,
		"groups    " + groups,
		"stores    " + ofQuota(sizeText(u.PlainBytes), u.PlainBytes, u.Quota.PlainBytes, sizeText[uint64]),
		"files     " + ofQuota(groupText(u.Files), u.Files, u.Quota.Files, groupText),
		"requests  " + requests,
		"credits   " + creditsText(u.Balance),
		"session   " + session,
	}
	return append(lines, a.fold("may       ", strings.Join(s.Capabilities, " "))...)
}

// ofQuota says how much of a bound is used.
func ofQuota(text string, used, most uint64, write func(uint64) string) string {
	if most == 0 {
		return text + ", no bound"
	}
	return text + " of " + write(most) + " (" + percentText(used, most) + ")"
}
