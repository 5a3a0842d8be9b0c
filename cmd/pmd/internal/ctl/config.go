package ctl

import (
	"context"
	"errors"
	"net/http"

	"example.org/pmd/cmd/pmd/internal/usage"
)

// ErrRestart is wrapped when a change is asked for that a running process cannot
// make.
var ErrRestart = errors.New("needs a restart")

// errNoConfig is told by a process that has no configuration.
var errNoConfig = errors.New("this process has no configuration to show or change")

// Configuration is what requests about the configuration act on.
type Configuration interface {
	// ShowConfig returns the configuration as a file.
	ShowConfig(ctx context.Context) (string, error)
	// ApplyConfig changes it to that of a file, all or nothing, and returns what
	// was changed; with dryRun what would be, which may need a restart. The error
	// wraps engine.ErrChanging while another change is being made, and ErrRestart
	// if it cannot be made at all.
	ApplyConfig(ctx context.Context, text string, dryRun bool) ([]Change, error)
}

// maxConfigBody is the longest body with a configuration, in bytes: a file may
// grow when it is quoted.
const maxConfigBody = 512 << 10

// Config is the answer to GET /v1/config.
type Config struct {
	Config string `json:"config"`
}

// Apply is the body of POST /v1/config.
type Apply struct {
	Config string `json:"config"`
	// DryRun asks what would change.
	DryRun bool `json:"dry_run,omitempty"`
}

// Applied is the answer to POST /v1/config.
type Applied struct {
	// Applied is false after a dry run.
	Applied bool     `json:"applied"`
	Changes []Change `json:"changes"`
}

// Change is a difference between two configurations.
type Change struct {
	// Key is the key of the file, Text the change for people.
	Key  string `json:"key"`
	Text string `json:"text"`
	// Restart says that a running process cannot make it.
	Restart bool `json:"restart,omitempty"`
}

// Configure lets requests act on a configuration. It is called before Serve; without
// it they are refused.
func (s *Server) Configure(c Configuration) { s.config = c }

// isDryRun tells that a body asks what would change.
func isDryRun(body []byte) bool {
	var a Apply
	return decode(body, &a) == nil && a.DryRun
}

func (s *Server) showConfig(r *request) (int, any, error) {
	if s.config == nil {
		return 0, nil, errNoConfig
	}
	text, err := s.config.ShowConfig(r.Context())
	return http.StatusOK, Config{text}, err
}

func (s *Server) applyConfig(r *request) (int, any, error) {
	if s.config == nil {
		return 0, nil, errNoConfig
	}
	var a Apply
	if err := decode(r.body, &a); err != nil {
		return 0, nil, err
	}
	if a.Config == "" {
		return 0, nil, usage.Errorf(`the body has no configuration: send {"config":"TEXT"}`)
	}
	changes, err := s.config.ApplyConfig(r.Context(), a.Config, a.DryRun)
	if err != nil {
		return 0, nil, err
	}
	if changes == nil {
		changes = []Change{}
	}
	return http.StatusOK, Applied{Applied: !a.DryRun, Changes: changes}, nil
}

// Config returns the configuration of the running process, as a file.
func (c *Client) Config(ctx context.Context) (string, error) {
	var answer Config
	err := c.do(ctx, http.MethodGet, "/v1/config", nil, &answer)
	return answer.Config, err
}

// ApplyConfig changes the running process to what a file says, or tells what would
// change.
func (c *Client) ApplyConfig(ctx context.Context, text string, dryRun bool) (Applied, error) {
	var answer Applied
	err := c.do(ctx, http.MethodPost, "/v1/config", Apply{text, dryRun}, &answer)
	return answer, err
}
