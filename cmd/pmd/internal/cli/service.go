package cli

import (
	"errors"
	"log/slog"
	"slices"

	"example.org/pmd/cmd/pmd/internal/service"
	"example.org/pmd/pmd"
)

// notify tells the service manager, if there is one. Forwarding does not hang on it.
func notify(log *slog.Logger, states ...string) {
	if err := service.Notify(states...); err != nil {
		log.Warn("the service manager was not told", "error", err)
	}
}

// restrict gives up the privileges that no port needs once it is open.
func restrict(ports []pmd.Spec, log *slog.Logger) error {
	namespaces := slices.ContainsFunc(ports, func(s pmd.Spec) bool { return s.Options["netns"] != "" })
	left, err := service.Restrict(service.Needed(namespaces))
	if errors.Is(err, service.ErrCgo) {
		log.Debug("privileges are kept", "reason", err)
		return nil
	}
	if err == nil {
		log.Debug("privileges given up", "kept", left)
	}
	return err
}
