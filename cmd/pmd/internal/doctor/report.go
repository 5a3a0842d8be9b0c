package doctor

import "slices"

// Status says what a finding means.
type Status string

// What a finding can be.
const (
	// OK is as it should be.
	OK Status = "ok"
	// Advice is something that could be better, or that could not be looked at.
	Advice Status = "advice"
	// Problem keeps pmd from doing its work.
	Problem Status = "problem"
)

// Areas of findings, in the order they are looked at.
const (
	AreaKernel     = "kernel"
	AreaPrivileges = "privileges"
	AreaMemory     = "memory"
	AreaCPU        = "cpu"
	AreaInterface  = "interface"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Area is where, one of the Area constants.
	Area string `json:"area"`
	// Subject is what: the name of the interface in that area, else a word.
	Subject string `json:"subject"`
	Status  Status `json:"status"`
	// Text says in a sentence what was found.
	Text string `json:"text"`
	// Commands mend it, in this order; empty if none can.
	Commands []string `json:"commands"`
}

// Report is all that was found.
type Report struct {
	// OK is true if there is no problem. There may be advice.
	OK bool `json:"ok"`
	// Findings are in the order of the areas, and there of the checks.
	Findings []Finding `json:"findings"`
}

// add enters a finding.
func (r *Report) add(area, subject string, s Status, text string, commands ...string) {
	if commands == nil {
		commands = []string{} // an empty list in JSON, not null
	}
	r.Findings = append(r.Findings, Finding{Area: area, Subject: subject, Status: s, Text: text, Commands: commands})
}

// Count returns how many findings have that status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// finish fills in what follows from the findings.
func (r *Report) finish() {
	r.OK = !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Status == Problem })
}
