package container

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nsh/runtime/fault"
)

func fleet() []Container {
	at := func(min int) time.Time { return time.Date(2026, 1, 2, 3, min, 0, 0, time.UTC) }
	return []Container{
		{ID: hexID("a1"), Name: "old", Created: at(0), Status: Exited, ExitCode: 3, ImageID: "sha256:1", Labels: map[string]string{"tier": "web", "x": ""}},
		{ID: hexID("a2"), Name: "web-1", Created: at(1), Status: Running, ImageID: "sha256:1", Labels: map[string]string{"tier": "web"},
			Networks: []Endpoint{{Network: "bridge"}}, Ports: []PortMapping{{HostIP: "0.0.0.0", HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}},
		{ID: hexID("b1"), Name: "web-2", Created: at(2), Status: Paused, ImageID: "sha256:2", Labels: map[string]string{"tier": "db"},
			Networks: []Endpoint{{Network: "front"}, {Network: "back"}}, Ports: []PortMapping{{HostIP: "0.0.0.0", HostPort: 5353, ContainerPort: 53, Protocol: "udp"}}},
		{ID: hexID("b2"), Name: "made", Created: at(3), Status: Created,
			Mounts: []Mount{{Type: "volume", Name: "data", Source: "/v/data", Destination: "/data"}, {Type: "bind", Source: "/srv", Destination: "/mnt"}}},
		{ID: hexID("c1"), Name: "twin-b", Created: at(4), Status: Exited, ExitCode: 0},
		{ID: hexID("c2"), Name: "twin-a", Created: at(4), Status: Exited, ExitCode: 3},
		{ID: hexID("d1"), Name: "lost", Created: at(5), Status: Unknown},
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	everything := "lost twin-a twin-b made web-2 web-1 old"
	for _, tt := range []struct {
		filters string // apart by spaces
		opts    SelectOptions
		want    string
		err     string
	}{
		{want: "lost web-2 web-1"},
		{opts: SelectOptions{All: true}, want: everything},
		{opts: SelectOptions{Limit: 3}, want: "lost twin-a twin-b"},
		{opts: SelectOptions{Limit: 99}, want: everything},
		{opts: SelectOptions{Limit: -1}, want: "lost web-2 web-1"},
		{filters: "name=web", opts: SelectOptions{Limit: 1}, want: "web-2"},

		{filters: "name=web", want: "web-2 web-1"},
		{filters: "name=^web-1$", want: "web-1"},
		{filters: "name=^/web-1$", want: "web-1"},
		{filters: "name=/web-1", want: "web-1"},
		{filters: "name=web-1 name=lost", want: "lost web-1"},
		{filters: "name=[", want: ""},
		{filters: "NAME=lost", want: "lost"},

		{filters: "id=" + hexID("a2"), want: "web-1"},
		{filters: "id=d", want: "lost"},
		{filters: "id=a", opts: SelectOptions{All: true}, want: ""}, // of two: of none
		{filters: "id=", opts: SelectOptions{All: true}, want: ""},
		{filters: "id=d id=a2", want: "lost web-1"},

		{filters: "label=tier", opts: SelectOptions{All: true}, want: "web-2 web-1 old"},
		{filters: "label=tier=web", opts: SelectOptions{All: true}, want: "web-1 old"},
		{filters: "label=tier=web label=x", opts: SelectOptions{All: true}, want: "old"},
		{filters: "label=x=", opts: SelectOptions{All: true}, want: "old"},
		{filters: "label=ti", opts: SelectOptions{All: true}, want: ""},

		{filters: "status=exited", want: "twin-a twin-b old"},
		{filters: "status=stopped", want: "twin-a twin-b old"},
		{filters: "status=running status=created", want: "made web-1"},
		{filters: "status=unknown", want: "lost"},
		{filters: "status=dead", want: ""},
		{filters: "status=pausing", err: "invalid filter 'status=pausing': invalid value for state (pausing): must be one of created, running, paused, restarting, removing, exited, dead"},

		{filters: "exited=3", want: ""},
		{filters: "exited=3", opts: SelectOptions{All: true}, want: "twin-a old"},
		{filters: "exited=0", opts: SelectOptions{All: true}, want: "twin-b"},
		{filters: "exited=x", err: `invalid filter 'exited=x': strconv.Atoi: parsing "x": invalid syntax`},

		{filters: "before=web-2", want: "web-1"},
		{filters: "before=web-2", opts: SelectOptions{All: true}, want: "web-1 old"},
		{filters: "since=web-2", want: "lost"},
		{filters: "since=a1 before=lost", want: "web-2 web-1"},
		{filters: "before=twin-a", opts: SelectOptions{All: true}, want: "twin-b made web-2 web-1 old"},
		{filters: "since=twin-b", opts: SelectOptions{All: true}, want: "lost twin-a"},
		{filters: "before=lost before=web-1", opts: SelectOptions{All: true}, want: "old"},
		{filters: "before=nope", err: "No such container: nope"},
		{filters: "since=a", err: "Multiple IDs found with provided prefix: a"},

		{filters: "volume=data", opts: SelectOptions{All: true}, want: "made"},
		{filters: "volume=/data", opts: SelectOptions{All: true}, want: "made"},
		{filters: "volume=/srv", opts: SelectOptions{All: true}, want: "made"},
		{filters: "volume=/v/data", opts: SelectOptions{All: true}, want: ""},
		{filters: "network=back", want: "web-2"},
		{filters: "network=bridge network=front", want: "web-2 web-1"},
		{filters: "network=bri", want: ""},

		{filters: "ancestor=x", opts: SelectOptions{All: true, Images: []string{"sha256:1"}}, want: "web-1 old"},
		{filters: "ancestor=x", opts: SelectOptions{All: true, Images: []string{""}}, want: ""},
		{filters: "ancestor=nope", opts: SelectOptions{All: true}, want: ""},

		{filters: "publish=8080", want: "web-1"},
		{filters: "publish=8000-8100/tcp", want: "web-1"},
		{filters: "publish=5353", want: ""},
		{filters: "publish=5353/udp", want: "web-2"},
		{filters: "expose=80", want: "web-1"},
		{filters: "expose=53/udp publish=8080", want: "web-2 web-1"},
		{filters: "publish=0.0.0.0:80", err: "filter for 'publish' should not contain ':': 0.0.0.0:80"},
		{filters: "publish=", err: "error while looking up for publish : empty string specified for ports"},
		{filters: "expose=9-8", err: "error while looking up for expose 9-8: invalid range specified for port: 9-8"},
		{filters: "expose=70000", err: "error while looking up for expose 70000: invalid range specified for port: 70000"},
		{filters: "expose=80/icmp", err: "error while looking up for expose 80/icmp: invalid proto: icmp"},

		{filters: "name=web label=tier=db", want: "web-2"},
		{filters: "nope=1", err: "invalid filter 'nope'"},
		{filters: "health=healthy", err: `filter "health" is not supported`},
		{filters: "name", err: "bad format of filter (expected name=value)"},
	} {
		f, err := ParseFilters(strings.Fields(tt.filters))
		var got []Container
		if err == nil {
			got, err = f.Select(fleet(), tt.opts)
		}
		var names []string
		for _, c := range got {
			names = append(names, c.Name)
		}
		if s := strings.Join(names, " "); s != tt.want || text(err) != tt.err {
			t.Errorf("%s %+v: %q, %q; want %q, %q", tt.filters, tt.opts, s, text(err), tt.want, tt.err)
		}
		if tt.err != "" && !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: kind %s", tt.filters, fault.KindOf(err))
		}
	}
}

func TestFiltersZero(t *testing.T) {
	t.Parallel()
	got, err := Filters{}.Select(nil, SelectOptions{})
	if err != nil || got == nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFilterValues(t *testing.T) {
	t.Parallel()
	f, err := ParseFilters([]string{"ancestor=a", " Ancestor = b=c ", "label=x"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Values("ancestor"), []string{"a", "b=c"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if f.All() {
		t.Error("All without a status")
	}
}

// Whatever is taken can be asked, and says no more than there is.
func FuzzParseFilters(f *testing.F) {
	for _, s := range []string{"name=[", "publish=1-2/udp", "label=a=b", "status=exited", "=", "id="} {
		f.Add(s)
	}
	all := fleet()
	f.Fuzz(func(t *testing.T, s string) {
		fs, err := ParseFilters([]string{s})
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v is of kind %s", s, err, fault.KindOf(err))
			}
			return
		}
		got, err := fs.Select(all, SelectOptions{All: true})
		if err == nil && len(got) > len(all) {
			t.Errorf("%q: %d", s, len(got))
		}
	})
}
