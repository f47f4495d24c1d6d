// Command ingress-controller serves a cluster's Ingresses from one machine with a plain nginx.
//
// It watches Ingresses, Services, EndpointSlices and TLS Secrets, writes nginx's configuration, and reloads nginx, its
// child process, so that no request is lost. Requests go straight to the pods. The address it is given is published in
// the status of each Ingress once nginx serves it.
//
// An Ingress is served if its class is --class and that IngressClass names the controller `sandbox/nginx`, or if it has
// no class and that IngressClass is marked as the default. Where several Ingresses claim the same, the oldest has it.
// Wildcard hosts match one label. The type ImplementationSpecific is served as Prefix. An unknown host or path is
// answered with 404, and a backend with no pod ready with 503.
//
// Annotations, with the prefix nginx.ingress.kubernetes.io/ and the meaning that ingress-nginx gives them:
//
//	ssl-redirect        true or false: hosts with TLS redirect from HTTP to HTTPS (308); true by default
//	force-ssl-redirect  true or false: redirect also without TLS in the Ingress; false by default
//	proxy-body-size     largest request body, such as 512k, 8m, 1g; 0 for no limit; 1m by default
//	limit-rps           requests per second and client address, 503 for those beyond five times that; 0, no limit, by default
//
// A value that is not legal is told by an event on the Ingress, and the default holds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
)

const (
	// A change waits this long for others to come with it, as the pods of a rolling update do.
	gatherInterval = 50 * time.Millisecond
	// What failed is tried again after this time, or with the next change.
	retryInterval = 5 * time.Second
)

type options struct {
	kubeconfig, class, address, nginx, health string
	place                                     place
}

func parseOptions(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("ingress-controller", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of a user with the rights of the manifest 50-ingress-controller")
	flags.StringVar(&o.class, "class", "nginx", "name of the IngressClass to serve")
	flags.StringVar(&o.address, "address", "192.168.49.2", "IP address to publish in the status of Ingresses")
	flags.StringVar(&o.nginx, "nginx", "/usr/sbin/nginx", "the nginx binary, 1.22 or newer")
	flags.StringVar(&o.place.Dir, "dir", "", "folder for nginx.conf, certificates and nginx's other files; made if missing")
	flags.IntVar(&o.place.HTTPPort, "http-port", 80, "port for HTTP")
	flags.IntVar(&o.place.HTTPSPort, "https-port", 443, "port for HTTPS")
	flags.StringVar(&o.health, "health-address", "127.0.0.1:10254", "address for GET /healthz, which answers ok once nginx serves")
	if err := flags.Parse(arguments); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(os.Stdout)
		flags.PrintDefaults()
		return o, err
	} else if err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q: only flags are taken, see --help", flags.Arg(0))
	}
	if _, err := os.Stat(o.kubeconfig); err != nil {
		return o, fmt.Errorf("--kubeconfig %q: must be a kubeconfig file: %w", o.kubeconfig, err)
	}
	if _, err := netip.ParseAddr(o.address); err != nil {
		return o, fmt.Errorf("--address %q: must be an IP address", o.address)
	}
	if _, err := exec.LookPath(o.nginx); err != nil {
		return o, fmt.Errorf("--nginx %q: must be the nginx binary: %w", o.nginx, err)
	}
	for name, port := range map[string]int{"http-port": o.place.HTTPPort, "https-port": o.place.HTTPSPort} {
		if port < 1 || port > 65535 {
			return o, fmt.Errorf("--%s %d: must be from 1 to 65535", name, port)
		}
	}
	dir, err := filepath.Abs(o.place.Dir)
	if _, illegal := word(dir); o.place.Dir == "" || err != nil || illegal != nil {
		return o, fmt.Errorf("--dir %q: must be a folder whose path has only letters, digits and /._-", o.place.Dir)
	}
	o.place.Dir = dir
	return o, nil
}

// controller is what runs between the cluster and nginx.
type controller struct {
	class     string
	health    string
	at        place
	fallback  *certificate
	nginx     *nginx
	publisher *publisher
	// changed holds one token while something is to be looked at.
	changed chan struct{}
	ready   atomic.Bool

	factories []informers.SharedInformerFactory
	list      func() (objects, error)
}

func newController(client kubernetes.Interface, o options) (*controller, error) {
	fallback, err := selfSigned()
	if err != nil {
		return nil, err
	}
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	c := &controller{
		class:    o.class,
		health:   o.health,
		at:       o.place,
		fallback: fallback,
		nginx:    newNginx(o.nginx, o.place),
		publisher: &publisher{
			client:   client,
			recorder: broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "ingress-controller"}),
			address:  o.address,
		},
		changed: make(chan struct{}, 1),
	}

	all := informers.NewSharedInformerFactory(client, 0)
	// No other secret is to be read.
	secret := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(list *metav1.ListOptions) {
			list.FieldSelector = "type=" + string(corev1.SecretTypeTLS)
		}))
	c.factories = []informers.SharedInformerFactory{all, secret}
	ingresses, classes := all.Networking().V1().Ingresses(), all.Networking().V1().IngressClasses()
	services, slices := all.Core().V1().Services(), all.Discovery().V1().EndpointSlices()
	secrets := secret.Core().V1().Secrets()
	c.list = func() (o objects, err error) {
		var errs [5]error
		o.ingresses, errs[0] = ingresses.Lister().List(labels.Everything())
		o.classes, errs[1] = classes.Lister().List(labels.Everything())
		o.services, errs[2] = services.Lister().List(labels.Everything())
		o.slices, errs[3] = slices.Lister().List(labels.Everything())
		o.secrets, errs[4] = secrets.Lister().List(labels.Everything())
		return o, errors.Join(errs[:]...)
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.mark() },
		UpdateFunc: func(any, any) { c.mark() },
		DeleteFunc: func(any) { c.mark() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		ingresses.Informer(), classes.Informer(), services.Informer(), slices.Informer(), secrets.Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// mark says that something changed.
func (c *controller) mark() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// run serves until the context ends, which is no error, or nginx does, which is one.
func (c *controller) run(ctx context.Context) error {
	defer c.nginx.stop()
	listener, err := net.Listen("tcp", c.health)
	if err != nil {
		return fmt.Errorf("--health-address: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(c.answerHealth), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	for _, factory := range c.factories {
		factory.StartWithContext(ctx)
	}
	for _, factory := range c.factories {
		if err := factory.WaitForCacheSyncWithContext(ctx).Err; err != nil {
			return nil // Only the context's end ends the wait.
		}
	}
	c.mark()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-c.nginx.exited:
			return fmt.Errorf("nginx ended: %v", err)
		case <-c.changed:
		}
		// Whatever comes meanwhile is in the lists; what comes after has a token of its own.
		time.Sleep(gatherInterval)
		select {
		case <-c.changed:
		default:
		}
		if err := c.sync(ctx); err != nil && ctx.Err() == nil {
			slog.Error(err.Error())
			time.AfterFunc(retryInterval, c.mark)
		}
	}
}

// sync brings nginx, and then the Ingresses' status, to what the cluster says now.
func (c *controller) sync(ctx context.Context) error {
	found, err := c.list()
	if err != nil {
		return err
	}
	wanted, problems := build(found, c.class)
	c.publisher.report(problems)
	text, err := render(wanted, c.fallback, c.at)
	if err != nil {
		return err
	}
	certificates := []*certificate{c.fallback}
	for _, each := range wanted.Hosts {
		if each.Certificate != nil {
			certificates = append(certificates, each.Certificate)
		}
	}
	if err := c.nginx.apply(text, certificates); err != nil {
		return err
	}
	c.ready.Store(true)
	return c.publisher.publish(ctx, found.ingresses, func(ingress *networkingv1.Ingress) bool {
		return serves(c.class, found.classes, ingress)
	})
}

func (c *controller) answerHealth(response http.ResponseWriter, request *http.Request) {
	switch {
	case request.URL.Path != "/healthz":
		http.NotFound(response, request)
	case !c.ready.Load():
		http.Error(response, "nginx does not serve yet", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(response, "ok")
	}
}

func run(arguments []string) error {
	o, err := parseOptions(arguments)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig %s: %w", o.kubeconfig, err)
	}
	// client-go's own pace of 5 requests per second would let many new Ingresses wait for their status.
	config.QPS, config.Burst = 50, 100
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("--kubeconfig %s: %w", o.kubeconfig, err)
	}
	c, err := newController(client, o)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return c.run(ctx)
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "ingress-controller:", err)
		os.Exit(1)
	}
}
