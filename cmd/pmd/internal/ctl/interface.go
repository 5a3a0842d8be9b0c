package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/ifnet"
)

// settingsBody is the form of a change of an interface, of which any part may be left out.
const settingsBody = `{"up":true,"mtu":1500,"name":"NAME","lladdr":"MAC","metric":0,"promisc":true,"allmulti":false,"polling":true,"pollcpu":"LIST","caps_on":[],"caps_off":[]}`

// Create is the body of POST /v1/interfaces.
type Create struct {
	// Name is a kind and a unit, or a kind alone for the first unit that is free.
	Name string `json:"name"`
	// Params are the options of the port.
	Params map[string]string `json:"params,omitempty"`
}

// Destroyed is the answer to DELETE /v1/interfaces/{name}.
type Destroyed struct {
	Destroyed string `json:"destroyed"`
}

// Group is the body of a change of memberships.
type Group struct {
	Group string `json:"group"`
}

// Kinds is the answer to GET /v1/kinds.
type Kinds struct {
	Kinds []engine.IfKind `json:"kinds"`
}

// changed logs a change of an interface and answers with what it is now.
func (s *Server) changed(f engine.Interface, err error, what string, attrs ...any) (int, any, error) {
	if err != nil {
		return 0, nil, err
	}
	s.log.Info(what, append([]any{"port", f.Name}, attrs...)...)
	return http.StatusOK, f, nil
}

// decodeFor is decode for a call on the interface that the path names.
func decodeFor(call string, r *request, v any) error {
	if err := decode(r.body, v); err != nil {
		return engine.On(call, r.PathValue("name"), err)
	}
	return nil
}

func (s *Server) setInterface(r *request) (int, any, error) {
	var set engine.IfSettings
	if err := decodeFor("set", r, &set); err != nil {
		return 0, nil, err
	}
	if reflect.ValueOf(set).IsZero() {
		return 0, nil, engine.On("set", r.PathValue("name"), usage.Errorf(`the body names no setting: send for example {"mtu":1500}`))
	}
	f, err := s.target.SetInterface(r.Context(), r.PathValue("name"), set)
	return s.changed(f, err, "interface changed", "as", r.PathValue("name"), "settings", string(r.body))
}

func (s *Server) createInterface(r *request) (int, any, error) {
	var c Create
	if err := decode(r.body, &c); err != nil {
		return 0, nil, fmt.Errorf("create: %w", err)
	}
	f, err := s.target.Create(r.Context(), c.Name, c.Params)
	_, _, err = s.changed(f, err, "interface created", "spec", f.Spec)
	return http.StatusCreated, f, err
}

func (s *Server) destroyInterface(r *request) (int, any, error) {
	name := r.PathValue("name")
	if err := s.target.Destroy(r.Context(), name); err != nil {
		return 0, nil, err
	}
	s.log.Info("interface destroyed", "port", name)
	return http.StatusOK, Destroyed{name}, nil
}

func (s *Server) addAddr(r *request) (int, any, error) {
	var a engine.AddrSettings
	if err := decodeFor("add address", r, &a); err != nil {
		return 0, nil, err
	}
	f, err := s.target.AddAddr(r.Context(), r.PathValue("name"), a)
	return s.changed(f, err, "address added", "address", a.String())
}

func (s *Server) delAddr(r *request) (int, any, error) {
	var a engine.AddrSettings
	if err := decodeFor("delete address", r, &a); err != nil {
		return 0, nil, err
	}
	f, err := s.target.DelAddr(r.Context(), r.PathValue("name"), a)
	return s.changed(f, err, "address deleted", "address", a.Address)
}

func (s *Server) join(r *request) (int, any, error) {
	var g Group
	if err := decodeFor("join group", r, &g); err != nil {
		return 0, nil, err
	}
	f, err := s.target.Join(r.Context(), r.PathValue("name"), g.Group)
	return s.changed(f, err, "group joined", "group", g.Group)
}

func (s *Server) leave(r *request) (int, any, error) {
	var g Group
	if err := decodeFor("leave group", r, &g); err != nil {
		return 0, nil, err
	}
	f, err := s.target.Leave(r.Context(), r.PathValue("name"), g.Group)
	return s.changed(f, err, "group left", "group", g.Group)
}

// follow streams events, for as long as the client takes: one that is stopped for a while
// loses the oldest and is told. It costs its connection, and a bounded number of events that
// wait for it; Close cuts it off.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	l := s.target.Listen()
	defer l.Close()
	rc := http.NewResponseController(w)
	// A request that has been read is not to be cut off for taking its time. Where
	// there is no connection there are no deadlines.
	_, _ = rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_ = rc.Flush() // who sees the header misses nothing from now on
	if r.Method == http.MethodHead {
		return
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for {
		e, err := l.Next(r.Context())
		if err != nil {
			return
		}
		if enc.Encode(e) != nil || rc.Flush() != nil {
			return // the client has gone
		}
	}
}

// SetInterface makes several changes of an interface, all or nothing.
func (c *Client) SetInterface(ctx context.Context, ref string, set engine.IfSettings) (f engine.Interface, err error) {
	err = c.do(ctx, http.MethodPut, "/v1/interfaces/"+url.PathEscape(ref), set, &f)
	return f, err
}

// AddAddr gives an interface an address, DelAddr takes one.
func (c *Client) AddAddr(ctx context.Context, ref string, a engine.AddrSettings) (f engine.Interface, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/interfaces/"+url.PathEscape(ref)+"/addresses", a, &f)
	return f, err
}

// DelAddr takes an address from an interface.
func (c *Client) DelAddr(ctx context.Context, ref string, a engine.AddrSettings) (f engine.Interface, err error) {
	err = c.do(ctx, http.MethodDelete, "/v1/interfaces/"+url.PathEscape(ref)+"/addresses", a, &f)
	return f, err
}

// Join makes an interface a member of a multicast group.
func (c *Client) Join(ctx context.Context, ref, group string) (f engine.Interface, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/interfaces/"+url.PathEscape(ref)+"/groups", Group{group}, &f)
	return f, err
}

// Leave takes an interface from a multicast group.
func (c *Client) Leave(ctx context.Context, ref, group string) (f engine.Interface, err error) {
	err = c.do(ctx, http.MethodDelete, "/v1/interfaces/"+url.PathEscape(ref)+"/groups", Group{group}, &f)
	return f, err
}

// Create makes an interface of a kind.
func (c *Client) Create(ctx context.Context, name string, params map[string]string) (f engine.Interface, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/interfaces", Create{name, params}, &f)
	return f, err
}

// Destroy gives up an interface that was created.
func (c *Client) Destroy(ctx context.Context, ref string) error {
	return c.do(ctx, http.MethodDelete, "/v1/interfaces/"+url.PathEscape(ref), nil, &Destroyed{})
}

// Kinds lists what can be created.
func (c *Client) Kinds(ctx context.Context) ([]engine.IfKind, error) {
	var k Kinds
	err := c.do(ctx, http.MethodGet, "/v1/kinds", nil, &k)
	return k.Kinds, err
}

// Events calls ready when it follows the events of the process, and fn with each from then
// on, until the process ends, which is no error, or fn or ctx does.
func (c *Client) Events(ctx context.Context, ready func(), fn func(ifnet.Event) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pmd/v1/events", nil)
	if err != nil {
		return fmt.Errorf("composing the request: %w", err)
	}
	stream := http.Client{Transport: c.http.Transport} // for as long as it takes
	resp, err := stream.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("socket %s: answer %s: is it a pmd of another version?", c.socket, resp.Status)
	}
	ready()
	for dec := json.NewDecoder(resp.Body); ; {
		var e ifnet.Event
		err := dec.Decode(&e)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() == nil:
			return nil
		case err != nil:
			return c.explain(err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}
