package main

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

var update = flag.Bool("update", false, "write testdata/nginx.conf anew")

// someModel has one of everything that the template knows.
func someModel(t *testing.T) model {
	t.Helper()
	chain, key := aPair(t, "*.secure.test")
	from := someServices()
	from.slices = append(from.slices, aSlice("web", "http", 3000, "10.0.0.11", "10.0.0.12"))
	from.secrets = []*corev1.Secret{aSecret("pair", chain, key)}
	from.ingresses = []*networkingv1.Ingress{
		anIngress("plain", 1, rule("pacman.test", "Prefix / web:80", "Exact /idle idle:80", "Prefix /highscores api:8080"),
			annotated("proxy-body-size", "8m"), annotated("limit-rps", "5")),
		anIngress("secure", 2, rule("*.secure.test", "Prefix / web:80"), withTLS("pair", "*.secure.test")),
		anIngress("selfsigned", 3, rule("", "Prefix /x web:http"), withTLS("")),
	}
	wanted, problems := build(from, "nginx")
	if len(problems) > 0 {
		t.Fatal(tell(problems))
	}
	at := slices.IndexFunc(wanted.Hosts, func(each host) bool { return each.Name == "*.secure.test" })
	// The pair is new each time.
	wanted.Hosts[at].Certificate = &certificate{name: "own.pem"}
	return wanted
}

func TestConfigIsAsTheGoldenFile(t *testing.T) {
	const golden = "testdata/nginx.conf"
	at := place{Dir: "/run/ingress", HTTPPort: 80, HTTPSPort: 443}
	got, err := render(someModel(t), &certificate{name: "fallback.pem"}, at)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwhich is not as %s; if it is meant to be, run go test -run Golden -update", got, golden)
	}
}

func TestTheSameObjectsGiveTheSameConfig(t *testing.T) {
	at := place{Dir: "/run/ingress", HTTPPort: 80, HTTPSPort: 443}
	var first []byte
	for range 20 {
		got, err := render(someModel(t), &certificate{name: "fallback.pem"}, at)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if !bytes.Equal(got, first) {
			t.Fatalf("got\n%s\nafter\n%s", got, first)
		}
	}
}

func TestNothingUncheckedGetsIntoTheConfig(t *testing.T) {
	at := place{Dir: "/run/ingress", HTTPPort: 80, HTTPSPort: 443}
	for _, evil := range []string{"a b", "a;b", "a{b", "a}b", `a"b`, "a'b", "a#b", "a$b", `a\b`, "a\nb", ""} {
		for name, m := range map[string]model{
			"host":     {Hosts: []host{{Name: "x" + evil}}},
			"wildcard": {Hosts: []host{{Name: "*." + evil}}},
			"path":     {Hosts: []host{{Locations: []location{{Path: evil, Status: 404}}}}},
			"upstream": {Upstreams: []upstream{{Name: evil}}},
			"limit":    {Limits: []limit{{Name: evil, Rate: 1}}},
		} {
			if evil == "" && name == "host" {
				continue // That is host x.
			}
			if got, err := render(m, &certificate{name: "fallback.pem"}, at); err == nil {
				t.Errorf("%s %q: got\n%s", name, evil, got)
			}
		}
	}
}
