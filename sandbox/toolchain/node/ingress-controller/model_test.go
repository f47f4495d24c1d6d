package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// describe writes a model down as a line for each path that leads anywhere but to 404, and one for each upstream.
func describe(m model) []string {
	var lines []string
	for _, host := range m.Hosts {
		for _, to := range host.Locations {
			if to.Status == 404 {
				continue
			}
			line := host.Name + " "
			if to.Exact {
				line += "= "
			}
			line += to.Path + " -> " + to.Upstream
			if to.Status != 0 {
				line += fmt.Sprint(to.Status)
			}
			if to.Redirect {
				line += " https"
			}
			if to.MaxBody != "" && to.MaxBody != "1m" {
				line += " body " + to.MaxBody
			}
			if to.Limit.Rate > 0 {
				line += fmt.Sprintf(" limit %s %d", to.Limit.Name, to.Limit.Rate)
			}
			lines = append(lines, line)
		}
	}
	for _, each := range m.Upstreams {
		lines = append(lines, fmt.Sprint(each.Name, " ", each.Addresses))
	}
	return lines
}

// someServices are web (port 80, called http), api (8080, called rest; 9090, called admin) and idle, which has no pod.
func someServices() objects {
	return objects{
		classes:  []*networkingv1.IngressClass{aClass()},
		services: []*corev1.Service{aService("web", "http:80"), aService("api", "rest:8080", "admin:9090"), aService("idle", ":80")},
		slices: []*discoveryv1.EndpointSlice{
			aSlice("web", "http", 3000, "10.0.0.1"),
			aSlice("api", "rest", 3001, "10.0.0.2"),
			aSlice("api", "admin", 3002, "10.0.0.2"),
		},
	}
}

const (
	web   = "default_web_80 [10.0.0.1:3000]"
	rest  = "default_api_8080 [10.0.0.2:3001]"
	admin = "default_api_9090 [10.0.0.2:3002]"
)

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		ingresses []*networkingv1.Ingress
		want      []string
		problems  []string
	}{
		"no Ingress": {},
		"a host and everything on it": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"))},
			want:      []string{"a.test / -> default_web_80", web},
		},
		"no host": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("", "Prefix / web:80"))},
			want:      []string{" / -> default_web_80", web},
		},
		"a port by its name": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / api:admin"))},
			want:      []string{"a.test / -> default_api_9090", admin},
		},
		"a prefix is whole elements": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix /x/ web:80"))},
			want:      []string{"a.test = /x -> default_web_80", "a.test /x/ -> default_web_80", web},
		},
		"implementation specific is a prefix, and a path that is not given is the root": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "ImplementationSpecific  web:80"))},
			want:      []string{"a.test / -> default_web_80", web},
		},
		"exact is that path only": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Exact /x web:80"))},
			want:      []string{"a.test = /x -> default_web_80", web},
		},
		"exact goes before prefix, whichever is older": {
			ingresses: []*networkingv1.Ingress{
				anIngress("one", 1, rule("a.test", "Prefix /x web:80")),
				anIngress("two", 2, rule("a.test", "Exact /x api:8080")),
			},
			want: []string{"a.test = /x -> default_api_8080", "a.test /x/ -> default_web_80", rest, web},
		},
		"an exact path with a slash leaves the one without to the prefix": {
			ingresses: []*networkingv1.Ingress{
				anIngress("one", 1, rule("a.test", "Exact /x/y/ web:80", "Prefix /x api:8080", "Prefix / api:9090")),
			},
			want: []string{
				"a.test / -> default_api_9090", "a.test = /x -> default_api_8080", "a.test /x/ -> default_api_8080",
				"a.test = /x/y -> default_api_8080", "a.test = /x/y/ -> default_web_80", rest, admin, web,
			},
		},
		"several Ingresses share a host, and the oldest wins a path": {
			ingresses: []*networkingv1.Ingress{
				anIngress("young", 9, rule("a.test", "Prefix / api:8080", "Prefix /admin api:9090")),
				anIngress("old", 1, rule("a.test", "Prefix / web:80")),
			},
			want: []string{
				"a.test / -> default_web_80", "a.test = /admin -> default_api_9090", "a.test /admin/ -> default_api_9090",
				admin, web,
			},
		},
		"of two made in the same second the first by name wins": {
			ingresses: []*networkingv1.Ingress{
				anIngress("b", 1, rule("a.test", "Prefix / api:8080")),
				anIngress("a", 1, rule("a.test", "Prefix / web:80")),
			},
			want: []string{"a.test / -> default_web_80", web},
		},
		"hosts are in order, the default one first": {
			ingresses: []*networkingv1.Ingress{
				anIngress("one", 1, rule("b.test", "Prefix / web:80"), rule("*.b.test", "Prefix / web:80"), rule("", "Prefix / web:80")),
			},
			want: []string{" / -> default_web_80", "*.b.test / -> default_web_80", "b.test / -> default_web_80", web},
		},
		"a default backend without rules takes everything": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, defaultBackend("web:80"))},
			want:      []string{" / -> default_web_80", web},
		},
		"a default backend beside rules takes the rest of their hosts, after the rules of all": {
			ingresses: []*networkingv1.Ingress{
				anIngress("one", 1, defaultBackend("web:80"), rule("a.test", "Exact /x api:8080"), rule("b.test")),
				anIngress("two", 2, rule("b.test", "Prefix / api:9090")),
			},
			want: []string{
				"a.test / -> default_web_80", "a.test = /x -> default_api_8080", "b.test / -> default_api_9090",
				rest, admin, web,
			},
		},
		"a Service without a pod": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / idle:80"))},
			want:      []string{"a.test / -> 503"},
		},
		"a Service that is not there": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / none:80", "Exact /ok web:80"))},
			want:      []string{"a.test / -> 503", "a.test = /ok -> default_web_80", web},
			problems:  []string{"one: its requests are answered with 503: there is no Service default/none"},
		},
		"a port that is not there": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:81", "Exact /x web:https"))},
			want:      []string{"a.test / -> 503", "a.test = /x -> 503"},
			problems: []string{
				"one: its requests are answered with 503: Service default/web has no port 81",
				"one: its requests are answered with 503: Service default/web has no port https",
			},
		},
		"a backend that is no Service": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, func(ingress *networkingv1.Ingress) {
				ingress.Spec.DefaultBackend = &networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Name: "x"}}
			})},
			want:     []string{" / -> 503"},
			problems: []string{"one: its requests are answered with 503: a backend must be a Service"},
		},
		"hosts and paths that would be directives": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1,
				rule("a.test; return 200", "Prefix / web:80"),
				rule("*.*.test", "Prefix / web:80"),
				rule("a.test", "Prefix /{} web:80", "Prefix x web:80", "Exact /$host web:80", "Exact /ok web:80"),
			)},
			want: []string{"a.test = /ok -> default_web_80", web},
			problems: []string{
				"one: rule for host \"a.test; return 200\" is ignored: not a DNS name, or `*.` and a DNS name",
				"one: rule for host \"*.*.test\" is ignored: not a DNS name, or `*.` and a DNS name",
				`one: path "/{}" is ignored: it must begin with / and hold only letters, digits and /._~@:!+,=&()*-`,
				`one: path "x" is ignored: it must begin with / and hold only letters, digits and /._~@:!+,=&()*-`,
				`one: path "/$host" is ignored: it must begin with / and hold only letters, digits and /._~@:!+,=&()*-`,
			},
		},
		"annotations": {
			ingresses: []*networkingv1.Ingress{
				anIngress("one", 1, rule("a.test", "Prefix / web:80"), annotated("proxy-body-size", "8M"), annotated("limit-rps", "5")),
				anIngress("two", 2, rule("b.test", "Prefix / web:80"), annotated("force-ssl-redirect", "true")),
			},
			want: []string{"a.test / -> default_web_80 body 8m limit default_one 5", "b.test / -> default_web_80 https", web},
		},
		"annotations with a bad value": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"),
				annotated("proxy-body-size", "8m; evil"), annotated("limit-rps", "-1"), annotated("force-ssl-redirect", "yes"),
				annotated("ssl-redirect", ""), annotated("rewrite-target", "/"))},
			want: []string{"a.test / -> default_web_80", web},
			problems: []string{
				`one: annotation nginx.ingress.kubernetes.io/force-ssl-redirect: "yes" is ignored: it must be true or false`,
				`one: annotation nginx.ingress.kubernetes.io/limit-rps: "-1" is ignored: it must be a number of requests per second` +
					` up to 100000, or 0 for no limit`,
				`one: annotation nginx.ingress.kubernetes.io/proxy-body-size: "8m; evil" is ignored: it must be a size like 512k,` +
					` 8m or 1g, or 0 for no limit`,
				`one: annotation nginx.ingress.kubernetes.io/rewrite-target is ignored: not supported (force-ssl-redirect,` +
					` limit-rps, proxy-body-size, ssl-redirect are)`,
				`one: annotation nginx.ingress.kubernetes.io/ssl-redirect: "" is ignored: it must be true or false`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			from := someServices()
			from.ingresses = c.ingresses
			got, problems := build(from, "nginx")
			compare(t, describe(got), c.want)
			compare(t, tell(problems), c.problems)
		})
	}
}

func tell(problems []problem) []string {
	var lines []string
	for _, each := range problems {
		lines = append(lines, each.ingress.Name+": "+each.message)
	}
	return lines
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestClass(t *testing.T) {
	ofClass := func(name string) func(*networkingv1.Ingress) {
		return func(ingress *networkingv1.Ingress) { ingress.Spec.IngressClassName = &name }
	}
	without := func(ingress *networkingv1.Ingress) { ingress.Spec.IngressClassName = nil }
	legacy := func(name string) func(*networkingv1.Ingress) {
		return func(ingress *networkingv1.Ingress) {
			without(ingress)
			ingress.Annotations = map[string]string{legacyClassAnnotation: name}
		}
	}
	isDefault := func(class *networkingv1.IngressClass) {
		class.Annotations = map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}
	}
	foreign := func(class *networkingv1.IngressClass) { class.Spec.Controller = "example.com/other" }
	for name, c := range map[string]struct {
		class   *networkingv1.IngressClass
		ingress *networkingv1.Ingress
		want    bool
	}{
		"by name":                        {aClass(), anIngress("x", 1, ofClass("nginx")), true},
		"another name":                   {aClass(isDefault), anIngress("x", 1, ofClass("other")), false},
		"none, and nginx is no default":  {aClass(), anIngress("x", 1, without), false},
		"none, and nginx is the default": {aClass(isDefault), anIngress("x", 1, without), true},
		"by the older annotation":        {aClass(), anIngress("x", 1, legacy("nginx")), true},
		"another, by that annotation":    {aClass(isDefault), anIngress("x", 1, legacy("other")), false},
		"the class is another's":         {aClass(foreign), anIngress("x", 1, ofClass("nginx")), false},
		"there is no such class":         {nil, anIngress("x", 1, ofClass("nginx")), false},
	} {
		t.Run(name, func(t *testing.T) {
			var classes []*networkingv1.IngressClass
			if c.class != nil {
				classes = append(classes, c.class)
			}
			if got := serves("nginx", classes, c.ingress); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	type list = []*discoveryv1.EndpointSlice
	fqdn := aSlice("web", "http", 80, "pod.example")
	fqdn.AddressType = discoveryv1.AddressTypeFQDN
	v6 := aSlice("web", "http", 80, "fd00::1")
	v6.AddressType = discoveryv1.AddressTypeIPv6
	unknown := aSlice("web", "http", 80, "10.0.0.1")
	unknown.Endpoints[0].Conditions = discoveryv1.EndpointConditions{}
	udp := aSlice("web", "http", 80, "10.0.0.1")
	udp.Ports[0].Protocol = ptr(corev1.ProtocolUDP)
	for name, c := range map[string]struct {
		slices list
		want   string
	}{
		"in order, each once":      {list{aSlice("web", "http", 80, "10.0.0.9", "10.0.0.10"), aSlice("web", "http", 80, "10.0.0.9")}, "[10.0.0.9:80 10.0.0.10:80]"},
		"only the ready":           {list{aSlice("web", "http", 80, "10.0.0.1", "10.0.0.2 unready", "10.0.0.3 leaving")}, "[10.0.0.1:80]"},
		"else those on leave":      {list{aSlice("web", "http", 80, "10.0.0.2 unready", "10.0.0.3 leaving")}, "[10.0.0.3:80]"},
		"else none":                {list{aSlice("web", "http", 80, "10.0.0.2 unready")}, "[]"},
		"nothing said is ready":    {list{unknown}, "[10.0.0.1:80]"},
		"of that port":             {list{aSlice("web", "other", 81, "10.0.0.1")}, "[]"},
		"each slice has its port":  {list{aSlice("web", "http", 80, "10.0.0.1"), aSlice("web", "http", 8080, "10.0.0.2")}, "[10.0.0.1:80 10.0.0.2:8080]"},
		"IPv6":                     {list{v6}, "[[fd00::1]:80]"},
		"no names":                 {list{fqdn}, "[]"},
		"no UDP":                   {list{udp}, "[]"},
		"no slice":                 {nil, "[]"},
		"a slice without anything": {list{{}}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(addressesOf("http", c.slices)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	chain, key := aPair(t, "a.test")
	_, otherKey := aPair(t, "a.test")
	weakChain, weakKey := aWeakPair(t)
	secrets := []*corev1.Secret{
		aSecret("good", chain, key), aSecret("broken", chain, otherKey), aSecret("weak", weakChain, weakKey),
		aSecret("later", chain, key),
	}
	for name, c := range map[string]struct {
		ingresses []*networkingv1.Ingress
		// want is a line for each host: its certificate, and whether it redirects.
		want     []string
		problems []string
	}{
		"a host with a Secret": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), withTLS("good", "a.test"))},
			want:      []string{" default", "a.test own redirect"},
		},
		"without redirect": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), withTLS("good", "a.test"),
				annotated("ssl-redirect", "false"))},
			want: []string{" default", "a.test own"},
		},
		"only the hosts that are named": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), rule("b.test", "Prefix / web:80"),
				withTLS("good", "b.test"))},
			want: []string{" default", "a.test default", "b.test own redirect"},
		},
		"no hosts are all of the rules, the default one too": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), rule("", "Prefix / web:80"),
				withTLS("good"))},
			want: []string{" own redirect", "a.test own redirect"},
		},
		"a wildcard covers the hosts below it": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("x.a.test", "Prefix / web:80"), rule("a.test", "Prefix / web:80"),
				withTLS("good", "*.a.test"))},
			want: []string{" default", "a.test default", "x.a.test own redirect"},
		},
		"no Secret named: the default certificate": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), withTLS("", "a.test"))},
			want:      []string{" default", "a.test default redirect"},
		},
		"a younger Ingress does not take the host's certificate away": {
			ingresses: []*networkingv1.Ingress{
				anIngress("two", 2, rule("a.test", "Prefix / web:80"), withTLS("", "a.test")),
				anIngress("one", 1, rule("a.test", "Prefix / web:80"), withTLS("good", "a.test")),
			},
			want: []string{" default", "a.test own redirect"},
		},
		"a Secret that is not there": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), withTLS("none", "a.test"))},
			want:      []string{" default", "a.test default"},
			problems:  []string{`one: no TLS for ["a.test"]: there is no Secret default/none of type kubernetes.io/tls`},
		},
		"a key of another certificate": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), withTLS("broken", "a.test"))},
			want:      []string{" default", "a.test default"},
			problems:  []string{`one: no TLS for ["a.test"]: Secret default/broken: tls: private key does not match public key`},
		},
		"a key that OpenSSL would refuse": {
			ingresses: []*networkingv1.Ingress{anIngress("one", 1, rule("a.test", "Prefix / web:80"), withTLS("weak", "a.test"))},
			want:      []string{" default", "a.test default"},
			problems:  []string{`one: no TLS for ["a.test"]: Secret default/weak: an RSA key of 1024 bits; 2048 is the least`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			from := someServices()
			from.ingresses, from.secrets = c.ingresses, secrets
			got, problems := build(from, "nginx")
			var lines []string
			for _, host := range got.Hosts {
				line := host.Name + " default"
				if host.Certificate != nil {
					line = host.Name + " own"
				}
				if slices.ContainsFunc(host.Locations, func(to location) bool { return to.Redirect }) {
					line += " redirect"
				}
				lines = append(lines, line)
			}
			compare(t, lines, c.want)
			compare(t, tell(problems), c.problems)
		})
	}
}

func TestACertificateIsNamedByItsContent(t *testing.T) {
	chain, key := aPair(t, "a.test")
	noise := append([]byte("ssl_engine evil;\n"), chain...)
	one, err := parseCertificate(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	same, err := parseCertificate(noise, key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := parseCertificate(aPair(t, "a.test"))
	if err != nil {
		t.Fatal(err)
	}
	if one.name != same.name || one.name == other.name || strings.Contains(string(same.pem), "evil") {
		t.Errorf("got %s, %s and %s with\n%s", one.name, same.name, other.name, same.pem)
	}
}

func aWeakPair(t *testing.T) (chain, key []byte) {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
}
