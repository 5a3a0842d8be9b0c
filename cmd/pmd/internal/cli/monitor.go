package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/ifnet"
)

// MonitorCmd is pmd monitor.
type MonitorCmd struct {
	JSON bool `name:"json" help:"Write one JSON object a line."`
	SocketFlag
}

// Help explains the lines.
func (*MonitorCmd) Help() string {
	return `One line an event: its time, what happened, to which interface, and what is so now. attach, detach, rename; up, down (by hand), link (the device's); change (MTU, flags, address of the link, polling); addr_add, addr_del; group_join, group_leave; route_add, route_del; and what happens to ports and cores. Who reads too slowly loses the oldest and is told how many were lost. It ends with Ctrl-C, or when the process does.`
}

// Run follows the events of the running process.
func (c *MonitorCmd) Run(a *app.App) error {
	err := c.with(a, func(ctx context.Context, client *ctl.Client) error {
		return client.Events(ctx, func() {}, func(e ifnet.Event) error {
			if c.JSON {
				return writeJSON(a.Stdout, e)
			}
			_, err := fmt.Fprintln(a.Stdout, eventLine(e))
			return err
		})
	})
	if errors.Is(err, context.Canceled) {
		return nil // by hand, which is how it ends
	}
	return err
}

// eventLine writes an event for people.
func eventLine(e ifnet.Event) string {
	parts := []string{e.Time.Local().Format("15:04:05.000000"), string(e.Kind)}
	if e.Kind == ifnet.EventLost {
		return strings.Join(append(parts, fmt.Sprintf("%d events, the listener was too slow", e.Lost)), " ")
	}
	if e.Interface != "" {
		parts = append(parts, e.Interface)
	}
	if e.Old != "" {
		parts = append(parts, "was "+e.Old)
	}
	for _, s := range []string{e.Address, e.Group, e.Route} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch e.Kind {
	case ifnet.EventAttach, ifnet.EventChange, ifnet.EventUp, ifnet.EventDown:
		parts = append(parts, fmt.Sprintf("<%s> mtu %d lladdr %s", e.Flags, e.MTU, e.MAC))
	case ifnet.EventLink:
		parts = append(parts, e.Link)
	}
	if e.Text != "" {
		parts = append(parts, e.Text)
	}
	return strings.Join(parts, " ")
}
