//go:build linux

package afxdp_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

func TestTryFeatures(t *testing.T) {
	netlabtest.RequireRoot(t)
	before, err := afxdp.Interfaces("")
	require.NoError(t, err)
	var got []afxdp.Feature
	require.NoError(t, netlab.Throwaway(func() (err error) {
		got, err = afxdp.TryFeatures()
		return err
	}))
	var names []string
	for _, f := range got {
		names = append(names, f.Name)
		assert.NotEmpty(t, f.Since, f.Name)
		t.Logf("%s: %v", f.Name, f.Err)
	}
	assert.Equal(t, []string{
		afxdp.FeatureProgram, afxdp.FeatureFrags, afxdp.FeatureSocket, afxdp.FeatureShared,
		afxdp.FeatureSG, afxdp.FeatureBusyPoll, afxdp.FeatureTxBudget, afxdp.FeatureXDPFamily,
	}, names)
	for _, f := range got[:4] {
		assert.NoError(t, f.Err, "%s: the driver's other tests need it", f.Name)
	}
	after, err := afxdp.Interfaces("")
	require.NoError(t, err)
	assert.NotContains(t, after, "try0", "the pair was somewhere else")
	assert.Contains(t, before, "lo")
}

func TestInspect(t *testing.T) {
	lab := netlabtest.New(t)
	here, err := lab.Namespace("here")
	require.NoError(t, err)
	there, err := lab.Namespace("there")
	require.NoError(t, err)
	v, err := lab.Veth(netlab.VethEnd{Namespace: here, Name: "a", Queues: 2, MTU: 2000}, netlab.VethEnd{Namespace: there, Name: "b", TxOffload: true})
	require.NoError(t, err)

	_, err = afxdp.Inspect(here.Path(), "nosuch")
	require.ErrorIs(t, err, unix.ENODEV)
	names, err := afxdp.Interfaces(here.Path())
	require.NoError(t, err)
	assert.Equal(t, []string{"lo", "a"}, names)

	f, err := afxdp.Inspect(here.Path(), "a")
	require.NoError(t, err)
	b, _ := json.MarshalIndent(f, "", " ")
	t.Logf("%s", b)
	assert.Equal(t, "veth", f.Kind)
	assert.Equal(t, "veth", f.Driver)
	assert.True(t, f.Up && f.Carrier)
	assert.Equal(t, v.A.MAC, f.MAC)
	assert.Equal(t, 2000, f.MTU)
	assert.Equal(t, 2, f.Queues.Live)
	assert.Equal(t, []int{0, 1}, f.Queues.Hashed)
	assert.Nil(t, f.Program)
	assert.Empty(t, f.Management)
	assert.Empty(t, f.Unread)
	assert.Equal(t, -1, f.NUMANode)
	require.NotNil(t, f.Peer)
	assert.Equal(t, &afxdp.Peer{Name: "b", Netns: lab.Name("-there"), TxChecksum: true}, f.Peer)

	pass, err := here.PassProgram("a")
	require.NoError(t, err)
	defer pass.Close()
	f, err = afxdp.Inspect(here.Path(), "a")
	require.NoError(t, err)
	require.NotNil(t, f.Program)
	assert.False(t, f.Program.Ours)
	assert.NotZero(t, f.Program.ID)
}
