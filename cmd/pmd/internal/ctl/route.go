package ctl

import (
	"context"
	"encoding/json"
	"net/http"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/metrics"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cmd/pmd/internal/version"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
)

// Target is what requests act on; *engine.Engine is one.
type Target interface {
	// Stats returns the statistics.
	Stats(ctx context.Context) (*engine.Stats, error)
	// Totals returns them with totals since the start.
	Totals(ctx context.Context) (*engine.Stats, error)
	// Clear returns the statistics and counts totals from there.
	Clear(ctx context.Context) (*engine.Stats, error)
	// Interfaces describes every port.
	Interfaces(ctx context.Context) ([]engine.Interface, error)
	// Interface describes the port that ref names or numbers.
	Interface(ctx context.Context, ref string) (engine.Interface, error)
	// SetInterface makes several changes of an interface, all or nothing.
	SetInterface(ctx context.Context, ref string, set engine.IfSettings) (engine.Interface, error)
	// AddAddr gives an interface an address.
	AddAddr(ctx context.Context, ref string, a engine.AddrSettings) (engine.Interface, error)
	// DelAddr takes one.
	DelAddr(ctx context.Context, ref string, a engine.AddrSettings) (engine.Interface, error)
	// Join makes an interface a member of a multicast group.
	Join(ctx context.Context, ref, group string) (engine.Interface, error)
	// Leave ends that.
	Leave(ctx context.Context, ref, group string) (engine.Interface, error)
	// Create makes an interface of a kind.
	Create(ctx context.Context, name string, params map[string]string) (engine.Interface, error)
	// Destroy gives it up.
	Destroy(ctx context.Context, ref string) error
	// Kinds lists what can be created.
	Kinds(ctx context.Context) ([]engine.IfKind, error)
	// Listen follows events.
	Listen() *ifnet.Listener
	// PollCores describes every poll core.
	PollCores(ctx context.Context) ([]engine.CorePolling, error)
	// PollCore describes the core that ref names.
	PollCore(ctx context.Context, ref string) (engine.CorePolling, error)
	// SetPolling changes the tunables of the core that ref names, or of all.
	SetPolling(ctx context.Context, ref string, set dataplane.PollSettings) ([]engine.CorePolling, error)
	// Forwarding returns the mode and the cross-connect.
	Forwarding() engine.Forwarding
	// SetMode changes the forwarding mode, losing nothing, and those options
	// that a JSON object names; empty is none.
	SetMode(ctx context.Context, mode string, options []byte) error
	// Stop asks for an end and returns at once.
	Stop()
}

// Route is one request that the socket understands.
type Route struct {
	// Method is the HTTP method, Path the pattern; {name} stands for one
	// segment.
	Method string `json:"method"`
	Path   string `json:"path"`
	// What says in a few words what it does.
	What string `json:"what"`
	// Body is the form of the body, empty if there is none.
	Body string `json:"body,omitempty"`
	// Answer says what comes back with status 200 or 202.
	Answer string `json:"answer"`

	serve func(s *Server, r *request) (status int, answer any, err error)
	// reads tells of a body that it changes nothing, of a request other than GET.
	reads func(body []byte) bool
	// limit is the longest body, in bytes; 0 stands for MaxBody.
	limit int64
	// raw answers by itself, in another form than JSON, where serve is nil.
	raw func(s *Server) http.Handler
}

// request is a request whose body was read.
type request struct {
	*http.Request
	body []byte
}

// Index is the answer to GET /v1.
type Index struct {
	Version version.Info `json:"version"`
	Routes  []Route      `json:"routes"`
}

// Interfaces is the answer to GET /v1/interfaces.
type Interfaces struct {
	Interfaces []engine.Interface `json:"interfaces"`
}

// Mode is the body of PUT /v1/forward.
type Mode struct {
	Mode string `json:"mode"`
	// Options is an object with the options that change, as
	// engine.Forwarding has them.
	Options json.RawMessage `json:"options,omitempty"`
}

// Cores is the answer to GET /v1/cores.
type Cores struct {
	Cores []engine.CorePolling `json:"cores"`
}

// pollBody is the form of a change of polling, of which any part may be left out.
const pollBody = `{"enable":1,"pollhz":2000,"each_burst":64,"burst_max":192,"user_frac":1,"reg_frac":20,"idle":"adaptive"}`

// Stopping is the answer to POST /v1/stop.
type Stopping struct {
	Stopping bool `json:"stopping"`
}

// Routes returns the table of requests, in the order the index shows them.
func Routes() []Route {
	return []Route{
		{
			Method: http.MethodGet, Path: "/v1", What: "list these requests",
			Answer: `{"version":{…},"routes":[{"method","path","what","body","answer"}]}`,
			serve:  (*Server).index,
		},
		{
			Method: http.MethodGet, Path: "/v1/version", What: "tell which build is running",
			Answer: `{"version","revision","time","modified","go","os","arch"}`,
			serve: func(*Server, *request) (int, any, error) {
				return http.StatusOK, version.Get(), nil
			},
		},
		{
			Method: http.MethodGet, Path: "/v1/stats", What: "totals, rates and accounts",
			Answer: `{"time","uptime","forward","ports":[…],"cores":[…],"pools":[…]}`,
			serve: func(s *Server, r *request) (int, any, error) {
				st, err := s.target.Stats(r.Context())
				return http.StatusOK, st, err
			},
		},
		{
			Method: http.MethodPost, Path: "/v1/stats/clear", What: "return the totals and count from zero again",
			Answer: "as GET /v1/stats, from before the clearing",
			serve:  (*Server).clear,
		},
		{
			Method: http.MethodGet, Path: "/v1/interfaces", What: "describe every port",
			Answer: `{"interfaces":[{"id","name","driver","mode","up","mac","mtu","to","spec","queues":[…]}]}`,
			serve: func(s *Server, r *request) (int, any, error) {
				list, err := s.target.Interfaces(r.Context())
				return http.StatusOK, Interfaces{list}, err
			},
		},
		{
			Method: http.MethodGet, Path: "/v1/interfaces/{name}", What: "describe one port, by name or number",
			Answer: "one entry of GET /v1/interfaces",
			serve: func(s *Server, r *request) (int, any, error) {
				f, err := s.target.Interface(r.Context(), r.PathValue("name"))
				return http.StatusOK, f, err
			},
		},
		{
			Method: http.MethodPut, Path: "/v1/interfaces/{name}", What: "change settings of an interface, all or nothing",
			Body: settingsBody, Answer: "as GET /v1/interfaces/{name}, after the change",
			serve: (*Server).setInterface,
		},
		{
			Method: http.MethodPost, Path: "/v1/interfaces", What: "create an interface of a kind: ring3 that one, ring the first free",
			Body: `{"name":"KIND[N]","params":{"KEY":"VALUE"}}`, Answer: "as GET /v1/interfaces/{name}, of the new one, with status 201",
			serve: (*Server).createInterface,
		},
		{
			Method: http.MethodDelete, Path: "/v1/interfaces/{name}", What: "destroy an interface that was created by name",
			Answer: `{"destroyed":"NAME"}`,
			serve:  (*Server).destroyInterface,
		},
		{
			Method: http.MethodPost, Path: "/v1/interfaces/{name}/addresses", What: "give an interface an address",
			Body: `{"address":"CIDR","peer":"ADDR"}`, Answer: "as GET /v1/interfaces/{name}, after the change",
			serve: (*Server).addAddr,
		},
		{
			Method: http.MethodDelete, Path: "/v1/interfaces/{name}/addresses", What: "take an address from an interface",
			Body: `{"address":"CIDR"}`, Answer: "as GET /v1/interfaces/{name}, after the change",
			serve: (*Server).delAddr,
		},
		{
			Method: http.MethodPost, Path: "/v1/interfaces/{name}/groups", What: "join a multicast group",
			Body: `{"group":"ADDR"}`, Answer: "as GET /v1/interfaces/{name}, after the change",
			serve: (*Server).join,
		},
		{
			Method: http.MethodDelete, Path: "/v1/interfaces/{name}/groups", What: "leave a multicast group",
			Body: `{"group":"ADDR"}`, Answer: "as GET /v1/interfaces/{name}, after the change",
			serve: (*Server).leave,
		},
		{
			Method: http.MethodGet, Path: "/v1/kinds", What: "list the kinds of interface that can be created",
			Answer: `{"kinds":[{"kind","what","units":[…]}]}`,
			serve: func(s *Server, r *request) (int, any, error) {
				list, err := s.target.Kinds(r.Context())
				return http.StatusOK, Kinds{list}, err
			},
		},
		{
			Method: http.MethodGet, Path: "/v1/events", What: "follow events, one JSON object a line, until the process or the client ends it",
			Answer: `{"seq","time","kind","interface",…}, again and again`,
			raw:    func(s *Server) http.Handler { return http.HandlerFunc(s.follow) },
		},
		{
			Method: http.MethodGet, Path: "/v1/cores", What: "tell how each poll core polls",
			Answer: `{"cores":[{"worker","cpu","state","enable","pollhz","each_burst","burst_max","user_frac","reg_frac","idle","burst",…}]}`,
			serve: func(s *Server, r *request) (int, any, error) {
				list, err := s.target.PollCores(r.Context())
				return http.StatusOK, Cores{list}, err
			},
		},
		{
			Method: http.MethodPut, Path: "/v1/cores", What: "change how all cores poll",
			Body: pollBody, Answer: "as GET /v1/cores, after the change",
			serve: (*Server).setCores,
		},
		{
			Method: http.MethodGet, Path: "/v1/cores/{cpu}", What: "tell how one core polls, by CPU",
			Answer: "one entry of GET /v1/cores",
			serve: func(s *Server, r *request) (int, any, error) {
				c, err := s.target.PollCore(r.Context(), r.PathValue("cpu"))
				return http.StatusOK, c, err
			},
		},
		{
			Method: http.MethodPut, Path: "/v1/cores/{cpu}", What: "change how one core polls",
			Body: pollBody, Answer: "as GET /v1/cores, with this core only, after the change",
			serve: (*Server).setCores,
		},
		{
			Method: http.MethodGet, Path: "/v1/forward", What: "tell the forwarding mode and the cross-connect",
			Answer: `{"mode","modes":[…],"options":{…},"connect":[{"from","to"}]}`,
			serve: func(s *Server, _ *request) (int, any, error) {
				return http.StatusOK, s.target.Forwarding(), nil
			},
		},
		{
			Method: http.MethodPut, Path: "/v1/forward", What: "change the forwarding mode, and options of modes",
			Body: `{"mode":"MODE","options":{}}`, Answer: "as GET /v1/forward, after the change",
			serve: (*Server).setForward,
		},
		{
			Method: http.MethodGet, Path: "/v1/config", What: "show the configuration as a file",
			Answer: `{"config":"TEXT"}`,
			serve:  (*Server).showConfig,
		},
		{
			Method: http.MethodPost, Path: "/v1/config", What: "change the configuration to that of a file, all or nothing",
			Body: `{"config":"TEXT","dry_run":false}`, Answer: `{"applied":true,"changes":[{"key","text","restart"}]}`,
			limit: maxConfigBody, reads: isDryRun,
			serve: (*Server).applyConfig,
		},
		{
			Method: http.MethodGet, Path: metrics.Path, What: "the statistics for Prometheus",
			Answer: "the text format of Prometheus",
			raw:    func(s *Server) http.Handler { return s.metrics },
		},
		{
			Method: http.MethodPost, Path: "/v1/stop", What: "end the process cleanly",
			Answer: `{"stopping":true}, with status 202`,
			serve:  (*Server).stop,
		},
	}
}

func (s *Server) index(*request) (int, any, error) {
	return http.StatusOK, Index{version.Get(), Routes()}, nil
}

func (s *Server) clear(r *request) (int, any, error) {
	st, err := s.target.Clear(r.Context())
	if err == nil {
		s.log.Info("statistics cleared")
	}
	return http.StatusOK, st, err
}

func (s *Server) setCores(r *request) (int, any, error) {
	var set dataplane.PollSettings
	if err := decode(r.body, &set); err != nil {
		return 0, nil, err
	}
	if set == (dataplane.PollSettings{}) {
		return 0, nil, usage.Errorf(`the body names no setting: send for example {"idle":"spin"}`)
	}
	list, err := s.target.SetPolling(r.Context(), r.PathValue("cpu"), set)
	if err != nil {
		return 0, nil, err
	}
	for _, c := range list {
		s.log.Info("polling changed", "worker", c.Worker, "core", engine.CoreSettings{CPU: c.CPU, PollSettings: set}.String())
	}
	return http.StatusOK, Cores{list}, nil
}

func (s *Server) setForward(r *request) (int, any, error) {
	var m Mode
	if err := decode(r.body, &m); err != nil {
		return 0, nil, err
	}
	if m.Mode == "" {
		return 0, nil, usage.Errorf(`the body names no mode: send {"mode":"MODE"}`)
	}
	if err := s.target.SetMode(r.Context(), m.Mode, m.Options); err != nil {
		return 0, nil, err
	}
	s.log.Info("forwarding mode changed", "mode", m.Mode, "options", string(m.Options))
	return http.StatusOK, s.target.Forwarding(), nil
}

func (s *Server) stop(*request) (int, any, error) {
	s.target.Stop() // first, in case the log hangs
	s.log.Info("asked to stop through the control socket")
	return http.StatusAccepted, Stopping{true}, nil
}
