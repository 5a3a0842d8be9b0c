package cli

import (
	"fmt"
	"os"
	"slices"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/doctor"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
)

// DoctorCmd is pmd doctor.
type DoctorCmd struct {
	Ifname []string `arg:"" optional:"" name:"ifname" help:"Interfaces that are to be ports (default: all that could be, briefly)."`
	Cores  string   `short:"c" placeholder:"LIST" help:"CPUs to poll on, as in 2-5,8 (default: those pmd run would choose)."`
	Netns  string   `placeholder:"NAME" help:"Network namespace of the interfaces: a name under /run/netns, or a path."`
	JSON   bool     `name:"json" help:"Write everything found as one JSON object."`
}

// Help returns what pmd doctor --help says besides the flags.
func (*DoctorCmd) Help() string {
	return "Looks at the kernel (by trying it, where nobody is disturbed), privileges, memory, CPUs and interfaces, and prints for each " +
		"thing ok, advice or problem, with the command that mends it. It changes nothing. Exit status: 0 without a problem, 1 with one."
}

// Run examines this machine.
func (c *DoctorCmd) Run(a *app.App) error {
	cores, err := cpu.ParseList(c.Cores)
	if err != nil {
		return usage.Errorf("doctor: --cores: %w", err)
	}
	for i, name := range c.Ifname {
		if name == "" || slices.Contains(c.Ifname[:i], name) {
			return usage.Errorf("doctor: interface %q is named twice, or empty", name)
		}
	}
	report, err := doctor.Examine(doctor.Local(c.Netns), doctor.Options{Interfaces: c.Ifname, Cores: cores, Netns: c.Netns})
	if err != nil {
		return usage.Errorf("doctor: --cores: %w", err)
	}
	if c.JSON {
		err = writeJSON(a.Stdout, report)
	} else {
		err = report.Write(a.Stdout, show.WantsColour(a.Stdout, os.Getenv))
	}
	if err == nil && !report.OK {
		err = fmt.Errorf("doctor: %d of %d findings are problems", report.Count(doctor.Problem), len(report.Findings))
	}
	return err
}
